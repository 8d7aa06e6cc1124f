// Send a story through a generated TypeScript client, compiled: node walk.js FOLDER < plan.json. As walk.py does; see there.
"use strict";

const { randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const client = require(process.argv[2]);

const plan = JSON.parse(readFileSync(0, "utf8"));
const variables = plan.variables;
const MADE = {
  $guid: () => randomUUID(),
  $timestamp: () => Math.floor(Date.now() / 1000),
  $randomInt: () => Math.floor(Math.random() * 1000),
};

function filled(value) {
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, filled(inner)]));
  }
  if (typeof value !== "string") return value;
  const whole = /^\{\{#(\w+)\}\}$/.exec(value);
  if (whole) return Number(variables[whole[1]]);
  return value.replace(/\{\{([$\w]+)\}\}/g, (_, name) => String(MADE[name] ? MADE[name]() : variables[name]));
}

const found = (answer, path) => path.match(/\w+/g).reduce((inner, name) => inner[name], answer);
const camel = (name) => name.replace(/[-_](\w)/g, (_, letter) => letter.toUpperCase()).replace(/^[A-Z]/, (letter) => letter.toLowerCase());

// What was read must be all that was sent: a property that got lost has another type or name than the document says.
function compare(sent, read, where) {
  if (sent === null || typeof sent !== "object") {
    const same = read instanceof Date ? read.getTime() === Date.parse(sent) : read === sent || (sent === null && read === undefined);
    if (!same) throw new Error(`${where}: ${JSON.stringify(sent)} was read as ${JSON.stringify(read)}`);
    return;
  }
  for (const [name, inner] of Object.entries(sent)) compare(inner, read[name] ?? read[camel(name)], `${where}.${name}`);
}

async function main() {
  const apis = Object.values(client).filter((kind) => typeof kind === "function" && /Api$/.test(kind.name));
  for (const step of plan.steps) {
    for (const [name, text] of Object.entries(step.makes)) variables[name] = filled(text);
    const prefix = plan.prefix ? `${plan.prefix} ` : "";
    const configuration = new client.Configuration({
      basePath: plan.address,
      ...(step.keyless ? {} : { apiKey: () => prefix + plan.key }),
      ...(step.bearer ? { accessToken: `Bearer ${filled(step.bearer)}` } : {}),
    });
    const method = `${camel(step.operation)}Raw`;
    const api = new (apis.find((kind) => method in kind.prototype))(configuration);
    const given = Object.fromEntries(Object.entries(filled(step.values)).map(([name, value]) => [camel(name), value]));
    if (step.body !== null) {
      const body = filled(step.body);
      if (step.form) given[camel(step.form)] = client[`${step.form}FromJSON`](body);
      else Object.assign(given, Object.fromEntries(Object.entries(body).map(([name, value]) => [camel(name), value])));
    }
    let status, sent;
    try {
      const answer = await api[method](given);
      status = answer.raw.status;
      sent = await answer.raw.clone().json();
      compare(sent, await answer.value(), step.name);
    } catch (refusal) {
      if (!(refusal instanceof client.ResponseError)) throw refusal;
      status = refusal.response.status;
      sent = await refusal.response.json();
    }
    if (status !== step.status) throw new Error(`${step.name}: ${status} ${JSON.stringify(sent)}`);
    for (const [name, path] of Object.entries(step.keeps)) variables[name] = found(sent, path);
    console.log(JSON.stringify({ name: step.name, status }));
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
