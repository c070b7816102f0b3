// Leads conversations through the FLOIP runner for some seconds and prints how many steps it took.
// The input is one JSON document: {"seconds", "warm_up", "keep_flow", "context"}.
// As its README has it, the context is the whole state and is written out as JSON between any two steps;
// without "keep_flow" the flow itself, which never changes, is left out of what is written, in its favour.

const { FlowRunner } = require("@floip/flow-runner");

const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const fixed = { flows: given.context.flows, resources: given.context.resources };
const blank = JSON.stringify(given.context);

const dump = (context) =>
  JSON.stringify(given.keep_flow ? context : { ...context, flows: undefined, resources: undefined });
const load = (state) => (given.keep_flow ? JSON.parse(state) : { ...JSON.parse(state), ...fixed });

async function conversation() {
  let runner = new FlowRunner(JSON.parse(blank));
  let waiting = await runner.run();
  let state = dump(runner.context);
  let steps = 0;
  while (waiting) {
    runner = new FlowRunner(load(state));
    const { prompt } = runner.hydrateRichCursorFrom(runner.context);
    waiting = await prompt.fulfill("yes");
    state = dump(runner.context);
    steps += 1;
  }
  return { steps, bytes: state.length };
}

async function lead(seconds) {
  const started = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - started) / 1e9;
  let steps = 0;
  let last = { steps: 0, bytes: 0 };
  while (elapsed() < seconds) {
    last = await conversation();
    steps += last.steps;
  }
  return { steps, seconds: elapsed(), questions: last.steps, bytes: last.bytes };
}

(async () => {
  await lead(given.warm_up);
  console.log(JSON.stringify(await lead(given.seconds)));
})();
