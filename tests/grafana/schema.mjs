// Checks dashboards against Grafana's published types: node schema.mjs TYPES.ts DASHBOARD.json...
// Unknown fields and wrong values are errors. Exit code 1, and a line for each, when there are any.
// NODE_MODULES is the folder of the packages; the types are copied beside it, where they find Grafana's.
import { copyFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const modules = process.env.NODE_MODULES;
const require = createRequire(`${modules}/`);
const { createGenerator } = await import(require.resolve('ts-json-schema-generator'));
const Ajv = require('ajv');

const [types, ...files] = process.argv.slice(2);
const beside = join(dirname(modules), 'types.ts');
copyFileSync(types, beside);
const generator = createGenerator({ path: beside, type: 'Checked', expose: 'none', additionalProperties: false, skipTypeCheck: true });
const schemas = generator.createSchema('Checked').definitions.Checked.properties;
const ajv = new Ajv({ strict: false, allErrors: true });
const validate = (schema, value) => {
  const check = ajv.compile(schema);
  return check(value) ? [] : check.errors.map((error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`);
};
// Panels are one of two kinds: each is checked as the one it is, for errors that a person can read.
const panelKinds = schemas.dashboard.properties.panels.items.anyOf;
const kindOf = (panel) => panelKinds.find((kind) => ('collapsed' in kind.properties) === (panel.type === 'row'));
// Grafana's types say of annotation queries and variables only what all data sources share. Prometheus's own fields are these.
const annotation = schemas.dashboard.properties.annotations.properties.list.items.properties;
for (const [field, type] of Object.entries({ expr: 'string', step: 'string', titleFormat: 'string', textFormat: 'string', tagKeys: 'string', useValueForTime: 'boolean' })) {
  annotation[field] ??= { type };
}
schemas.dashboard.properties.templating.properties.list.items.properties.definition ??= { type: 'string' };
schemas.dashboard.properties.panels = { type: 'array' };

let wrong = 0;
for (const file of files) {
  const dashboard = JSON.parse(readFileSync(file, 'utf8'));
  const say = (where, errors) => errors.forEach((error) => {
    wrong += 1;
    console.error(`${file}: ${where}: ${error}`);
  });
  say('dashboard', validate(schemas.dashboard, dashboard));
  for (const panel of dashboard.panels) {
    say(`panel "${panel.title}"`, validate(kindOf(panel), panel));
    if (panel.type === 'row') continue;
    const plugin = schemas[panel.type]?.properties;
    if (!plugin) {
      say(`panel "${panel.title}"`, [`types.ts knows no type ${panel.type}`]);
      continue;
    }
    say(`panel "${panel.title}", options`, validate(plugin.options, panel.options));
    say(`panel "${panel.title}", custom`, validate(plugin.custom, panel.fieldConfig.defaults.custom ?? {}));
  }
}
console.log(`${files.length} dashboards, ${wrong} errors`);
process.exit(wrong ? 1 : 0);
