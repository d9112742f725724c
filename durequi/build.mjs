// SPDX-License-Identifier: Apache-2.0
// Bundles the dashboard and writes it as C:  node build.mjs OUT.c [FOLDER]
//
// OUT.c has every file as it is, by brotli and by gzip, with an ETag each; names hold a hash of the content. FOLDER gets the same as files, for who
// wants to look. The same sources give the same bytes. The first load must stay within its budget, or the build fails.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const FIRST_LOAD_MAX = 180_000; // brotli
const here = dirname(fileURLToPath(import.meta.url));
const [out, folder] = process.argv.slice(2);

const hash = (data, n) => createHash('sha256').update(data).digest('hex').slice(0, n);

const made = await build({
  absWorkingDir: here,
  entryPoints: ['src/main.tsx'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome111', 'firefox115', 'safari16.4'],
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none',
  charset: 'utf8',
  write: false,
  outdir: 'out',
  logLevel: 'warning',
});

const files = [];
const name = (stem, ext, data) => `assets/${stem}-${hash(data, 10)}.${ext}`;
const add = (path, type, data, kind) => { files.push({ path, type, data, kind }); return path; };

const content = (ext) => Buffer.from(made.outputFiles.find((f) => f.path.endsWith(ext)).contents);
const js = content('.js');
const css = content('.css');
const icon = readFileSync(join(here, 'icon.svg'));
const names = {
  JS: add(name('durequi', 'js', js), 'text/javascript; charset=utf-8', js, 'asset'),
  CSS: add(name('durequi', 'css', css), 'text/css; charset=utf-8', css, 'asset'),
  ICON: add(name('icon', 'svg', icon), 'image/svg+xml', icon, 'asset'),
};
const index = Buffer.from(readFileSync(join(here, 'index.html'), 'utf8').replace(/@(JS|CSS|ICON)@/g, (_, k) => names[k]));
add('index.html', 'text/html; charset=utf-8', index, 'index');

const br = (d) => brotliCompressSync(d, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: d.length } });
const gz = (d) => gzipSync(d, { level: 9 });

const array = (id, data) => `static const unsigned char ${id}[] = {${[...data].join(',')}};\n`;
let c = '/* Made by durequi/build.mjs; do not edit. */\n#include "serve/pages.h"\n\n';
let rows = '';
let first = 0;
files.forEach((f, i) => {
  const forms = f.kind === 'index' ? { raw: f.data } : { raw: f.data, br: br(f.data), gz: gz(f.data) };
  for (const [form, data] of Object.entries(forms)) {
    c += array(`f${i}_${form}`, data);
    if (folder) {
      const at = join(folder, f.path + (form === 'raw' ? '' : `.${form}`));
      mkdirSync(dirname(at), { recursive: true });
      writeFileSync(at, data);
    }
  }
  const ref = (form) => (forms[form] ? `{(const char *)f${i}_${form}, sizeof f${i}_${form}}` : '{NULL, 0}');
  rows += `    {"${f.path}", "${f.type}", "${hash(f.data, 16)}", ${ref('raw')}, ${ref('br')}, ${ref('gz')}},\n`;
  first += (forms.br ?? forms.raw).length;
});
c += `\nconst dq_page dq_dashboard[] = {\n${rows}    {NULL, NULL, NULL, {NULL, 0}, {NULL, 0}, {NULL, 0}},\n};\n`;
if (first > FIRST_LOAD_MAX) {
  console.error(`durequi: the first load is ${first} bytes of brotli, more than ${FIRST_LOAD_MAX}`);
  process.exit(1);
}
if (out) writeFileSync(out, c);
if (folder) console.log(`durequi: first load ${first} bytes by brotli`);
