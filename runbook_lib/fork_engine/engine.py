"""
The engine that papermill calls: our child runs the notebook, or else nbclient does.

Where the child cannot do it, nbclient does, and the notebook's metadata say
why: `papermill.engine` is `{"name": "fork"}` or
`{"name": "nbclient", "reason": …}`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from runbook_lib.fork_engine.child import Child, DiedError, start_child


class ForkEngine:
    """
    Executes a notebook's cells in a forked child.

    NOTE: it does not inherit from papermill's `Engine`: papermill loads its
    engines while it is imported itself, and this module must cost nothing then.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        *,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        **keywords: Any,
    ) -> Any:
        """Execute `nb` and return it, saving it at most once a second; called by papermill."""
        from runbook_lib.fork_engine.saving import (  # noqa: PLC0415  (loads papermill)
            SavingManager,
            storable,
        )

        manager = SavingManager(
            storable(nb),
            output_path=output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log_output, **keywords)
        except BaseException:
            manager.end()
            manager.save_now()  # papermill writes the notebook only if this returns
            raise
        manager.end()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        child: Child | None = None,
        environment: Mapping[str, str] | None = None,
        on_tick: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        """
        Execute the notebook of `nb_man`, in `child` or one that is started now.

        The cells get `environment` (by default this process's) and nothing
        else. `on_tick` is called about twenty times a second while a cell
        runs; when it raises, or a signal does, the child and all that its
        cells started are killed before the exception goes on. The other
        options are those of papermill's `NBClientEngine`.

        Raises nbclient's `DeadKernelError` and `CellTimeoutError`, after the
        cell was marked as failed.
        """
        # NOTE: these load papermill, which is loading this module now.
        from runbook_lib.fork_engine.fallback import (  # noqa: PLC0415
            NotOursError,
            execute,
            kernel_environment,
            make_client,
        )
        from runbook_lib.fork_engine.run import Run  # noqa: PLC0415
        from runbook_lib.fork_engine.saving import storable  # noqa: PLC0415

        given = dict(os.environ if environment is None else environment)
        about = nb_man.nb.metadata.setdefault("papermill", {})
        try:
            client = make_client(nb_man, kernel_name, options)
            try:
                given.update(kernel_environment(kernel_name))
                if child is None:
                    # This process may run more notebooks: it loads IPython once, for all children.
                    import runbook_lib.fork_engine.shell  # noqa: F401, PLC0415

                    child = start_child()
                run = Run(child, client, on_tick, options)
                run.begin(given)
            except (NotOursError, DiedError, OSError, ValueError) as error:
                reason = str(error)
            else:
                about["engine"] = {"name": "fork"}
                run.execute_all()
                return
        finally:
            if child is not None:
                child.close()
        about["engine"] = storable({"name": "nbclient", "reason": reason})
        execute(client, given, on_tick)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """Return the name of the kernel that the notebook asks for."""
        from papermill.utils import nb_kernel_name  # noqa: PLC0415

        found: str = nb_kernel_name(nb, name)
        return found

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """Return the notebook's language."""
        from papermill.utils import nb_language  # noqa: PLC0415

        found: str = nb_language(nb, language)
        return found
