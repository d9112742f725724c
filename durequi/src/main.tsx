// SPDX-License-Identifier: Apache-2.0
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Link, Route, Router, Switch } from 'wouter';
import './tokens.css';
import './parts.css';
import { base } from './http';
import { Dead } from './pages/dead';
import { Job } from './pages/job';
import { Jobs } from './pages/jobs';
import { Nodes } from './pages/nodes';
import { Overview } from './pages/overview';
import { Queues } from './pages/queues';
import { Schedules } from './pages/schedules';
import { Empty } from './parts';
import { loadPreferences } from './session';
import { Shell } from './shell';

function NoPage() {
  return <Shell title="No such page"><Empty title="There is no page at this address"><p><Link className="link" href="/">Overview</Link></p></Empty></Shell>;
}

loadPreferences();
createRoot(document.getElementById('app')!).render(
  <StrictMode>
    <Router base={base}>
      <Switch>
        <Route path="/" component={Overview} />
        <Route path="/jobs" component={Jobs} />
        <Route path="/jobs/:id" component={Job} />
        <Route path="/dead" component={Dead} />
        <Route path="/queues" component={Queues} />
        <Route path="/nodes" component={Nodes} />
        <Route path="/schedules" component={Schedules} />
        <Route component={NoPage} />
      </Switch>
    </Router>
  </StrictMode>,
);
