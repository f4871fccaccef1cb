// A step's panel: its script is the same for all steps, so a page loads it once. The header brings it;
// where there is none, the kernel sends it.

const SCRIPT = "runbook:script";
const DIGEST = ""; // of the script: widgets.py puts it here
const WAIT_MILLISECONDS = 3000;

/** @param {string} text */
async function importText(text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try { return await import(url); } finally { URL.revokeObjectURL(url); }
}

function askForScript(model, take) {
  const hear = ({ kind, text, style }) => {
    if (kind !== "script") return;
    model.off("msg:custom", hear);
    const sheet = document.createElement("style");
    sheet.textContent = style;
    document.head.append(sheet);
    take(text);
  };
  model.on("msg:custom", hear);
  model.send({ action: "script" });
}

// The scripts of this page by their digest, each a promise of its module.
function stepScript(model) {
  const page = /** @type {any} */ (globalThis);
  page.runbookScripts ??= {};
  page.runbookScripts[DIGEST] ??= new Promise((resolve) => {
    const take = (text) => resolve(importText(text));
    const hear = ({ detail }) => { if (detail.digest === DIGEST) take(detail.text); };
    document.addEventListener(SCRIPT, /** @type {any} */ (hear));
    if (page.runbookScriptTexts?.[DIGEST]) take(page.runbookScriptTexts[DIGEST]);
    else setTimeout(() => askForScript(model, take), WAIT_MILLISECONDS);
  });
  return page.runbookScripts[DIGEST];
}

async function render(context) { return (await stepScript(context.model)).default.render(context); }

export default { render };
