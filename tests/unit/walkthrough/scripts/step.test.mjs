import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { load, Model, newPage, put } from "./page.mjs";

const SCRIPT = "export default { render: ({ el }) => { el.drawn = true; return () => { el.drawn = false; }; } };";
let page;

// A step's few lines, on a new page; it imports what it is given.
async function step() {
  page = newPage();
  globalThis.Blob = class { constructor([text]) { this.text = text; } };
  URL.createObjectURL = (blob) => `data:text/javascript,${encodeURIComponent(blob.text)}`;
  URL.revokeObjectURL = () => {};
  document.head = put("head");
  delete globalThis.runbookScripts;
  delete globalThis.runbookScriptTexts;
  return (await load("step.js")).default;
}

const bring = (text) => document.dispatchEvent(new CustomEvent("runbook:script", { detail: { digest: "", text } }));

describe("the script of all steps", () => {
  beforeEach(() => { page = newPage(); });

  test("is awaited from the header, and loaded once for all steps", async () => {
    const { render } = await step();
    const [first, second] = [put("div"), put("div")];
    const drawn = [render({ model: new Model({}), el: first }), render({ model: new Model({}), el: second })];
    assert.deepEqual([first.drawn, second.drawn], [undefined, undefined]);
    bring(SCRIPT);
    const [forget] = await Promise.all(drawn);
    assert.deepEqual([first.drawn, second.drawn], [true, true]);
    forget();
    assert.equal(first.drawn, false);
    const model = new Model({});
    const later = put("div");
    await render({ model, el: later });
    assert.deepEqual([later.drawn, model.sent], [true, []]);
  });

  test("is there already, if the header was drawn before", async () => {
    const { render } = await step();
    globalThis.runbookScriptTexts = { "": SCRIPT };
    const el = put("div");
    await render({ model: new Model({}), el });
    assert.equal(el.drawn, true);
  });

  test("comes from the kernel with its style, where no header brings it", async () => {
    const { render } = await step();
    const model = new Model({});
    const el = put("div");
    const drawn = render({ model, el });
    page.wait(3000);
    assert.deepEqual(model.sent, [{ action: "script" }]);
    model.say({ kind: "script", text: SCRIPT, style: ".rb { color: red }" });
    await drawn;
    assert.equal(el.drawn, true);
    assert.equal(document.head.querySelector("style").textContent, ".rb { color: red }");
  });
});
