// The runbook's notebook in JupyterLab: it looks calm (opening.css), what runs all cells does not
// lead to its end, and its tab asks before typed text is lost. Other documents stay as they are.
//
// A prebuilt extension that needs no build: JupyterLab loads it as a container of module federation
// (https://webpack.js.org/concepts/module-federation/#dynamic-remote-containers).
{
  const NAME = "runbook-opening";
  const RUN_ALL = "notebook:run-all-cells";
  const STARTING = "rb-starting";
  const NOTEBOOK = "rb-notebook";
  const AT_WORK = "rb-at-work"; // while it is in front

  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("opening.css", /** @type {HTMLScriptElement} */ (document.currentScript).src).href;
  document.head.append(style);

  const isRunbook = (widget) => Boolean(widget?.content?.model?.getMetadata?.("runbook"));

  // Closing a tab loses what was typed and not saved, as leaving the page does, which the panels ask about.
  const ask = (widget) => {
    const close = widget.close.bind(widget);
    widget.close = () => {
      const typed = [...widget.node.querySelectorAll(".rb-panel[data-unsaved]")].map((panel) => panel.dataset.unsaved);
      if (!typed.length || confirm(`Not saved: ${typed.join("; ")}.\nClose the tab and lose it?`)) close();
    };
  };

  const activate = ({ commands, restored, shell }) => {
    const mark = () => {
      for (const widget of shell.widgets("main")) {
        widget.context?.ready.then(() => {
          if (isRunbook(widget) && !widget.hasClass(NOTEBOOK)) ask(widget);
          widget.toggleClass(NOTEBOOK, isRunbook(widget));
          document.body.classList.toggle(AT_WORK, isRunbook(shell.currentWidget));
        });
      }
    };
    shell.currentChanged.connect(mark);
    restored.then(mark);

    commands.commandExecuted.connect((_commands, { id, result }) => {
      const widget = shell.currentWidget;
      if (id !== RUN_ALL || !isRunbook(widget)) return;
      // JupyterLab goes to the last cell. The panels bring the person to the next step, once they stand.
      widget.content.activeCellIndex = 0;
      widget.content.scrollToItem(0);
      const isAgain = widget.hasClass(STARTING);
      widget.addClass(STARTING);
      const end = () => widget.removeClass(STARTING);
      const { isReady, ready } = widget.sessionContext;
      if (isReady) result.then(end, end);
      // JupyterLab drops what is run before it is connected to the kernel.
      else if (!isAgain) ready.then(() => shell.currentWidget === widget ? commands.execute(RUN_ALL) : end());
    });
  };

  const plugin = { id: `${NAME}:plugin`, autoStart: true, activate };
  const page = /** @type {any} */ (window);
  page._JUPYTERLAB ??= {};
  page._JUPYTERLAB[NAME] = { init: () => {}, get: async () => () => ({ __esModule: true, default: plugin }) };
}
