// SPDX-License-Identifier: Apache-2.0
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Link, Route, Router, Switch } from 'wouter';
import './tokens.css';
import './parts.css';
import { base } from './http';
import { Audit } from './pages/audit';
import { Batch, Batches } from './pages/batches';
import { Dead } from './pages/dead';
import { Doctor } from './pages/doctor';
import { Job } from './pages/job';
import { Jobs } from './pages/jobs';
import { Metrics } from './pages/metrics';
import { Nodes } from './pages/nodes';
import { Operations } from './pages/operations';
import { Overview } from './pages/overview';
import { Queues } from './pages/queues';
import { Redis } from './pages/redis';
import { Schedules } from './pages/schedules';
import { Settings } from './pages/settings';
import { Tokens } from './pages/tokens';
import { Workflow } from './pages/workflow';
import { Workflows } from './pages/workflows';
import { Empty } from './parts';
import { loadPreferences, useEntry } from './session';
import { Shell } from './shell';
import { SignIn } from './signin';

function NoPage() {
  return <Shell title="No such page"><Empty title="There is no page at this address"><p><Link className="link" href="/">Overview</Link></p></Empty></Shell>;
}

/** Pages are there for who is let in; others sign in first. */
function Door() {
  const entry = useEntry();
  if (entry === 'unknown') return null;
  return entry === 'out' ? <SignIn /> : <Pages />;
}

function Pages() {
  return (
    <Switch>
      <Route path="/" component={Overview} />
      <Route path="/jobs" component={Jobs} />
      <Route path="/jobs/:id" component={Job} />
      <Route path="/dead" component={Dead} />
      <Route path="/queues" component={Queues} />
      <Route path="/nodes" component={Nodes} />
      <Route path="/schedules" component={Schedules} />
      <Route path="/workflows" component={Workflows} />
      <Route path="/workflows/:id" component={Workflow} />
      <Route path="/batches" component={Batches} />
      <Route path="/batches/:id" component={Batch} />
      <Route path="/operations" component={Operations} />
      <Route path="/audit" component={Audit} />
      <Route path="/tokens" component={Tokens} />
      <Route path="/charts" component={Metrics} />
      <Route path="/redis" component={Redis} />
      <Route path="/doctor" component={Doctor} />
      <Route path="/settings" component={Settings} />
      <Route component={NoPage} />
    </Switch>
  );
}

loadPreferences();
createRoot(document.getElementById('app')!).render(
  <StrictMode>
    <Router base={base}>
      <Door />
    </Router>
  </StrictMode>,
);
