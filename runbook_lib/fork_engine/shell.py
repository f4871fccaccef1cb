"""
The IPython shell whose cells the child runs: what ipykernel's is to a front end, without sockets.

What a cell shows leaves through one function, `publish`; how it travels is
not decided here.
"""

from __future__ import annotations

import builtins
import getpass
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.autocall import ZMQExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.page import as_hook
from traitlets.config import Config

# Called with the kind of a message, its content, and what is to be known about it.
Publish = Callable[..., None]

# What ipykernel sets, so that programs in a cell print colors and do not page.
_ENVIRONMENT = {
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}
_BACKEND = "module://matplotlib_inline.backend_inline"


class _Compiler(CachingCompiler):
    """Names the files of cells as ipykernel does, for warnings and tracebacks."""

    def get_code_name(self, raw_code: str, code: str, number: int) -> str:  # noqa: ARG002
        """Return the file name that stands for a cell."""
        folder = Path(tempfile.gettempdir(), f"ipykernel_{os.getpid()}")
        return str(folder / f"{zlib.crc32(raw_code.encode('utf-8', 'replace'))}.py")


class _Publisher(DisplayPublisher):
    """Publishes what `display` shows."""

    shell: Any

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: Any = None,  # noqa: ARG002  (IPython's; deprecated)
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_others: Any,
    ) -> None:
        """Publish `data`, by MIME type."""
        self._validate_data(data, metadata or {})
        self.shell.publish(
            "update_display_data" if update else "display_data",
            {"data": data, "metadata": metadata or {}},
            display_id=(transient or {}).get("display_id"),
        )

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002
        """Clear the cell's outputs, or have the next output replace them."""
        self.shell.publish("clear_output", {"wait": wait})


class _Hook(DisplayHook):
    """Publishes the value of a cell's last expression."""

    shell: Any
    is_formatting = False

    def start_displayhook(self) -> None:
        """Begin a result."""
        self.is_formatting = True

    def write_output_prompt(self) -> None:
        """Show no prompt: the result has a number."""

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        """Publish the representations of the value."""
        if format_dict:
            content = {"data": format_dict, "metadata": md_dict or {}}
            self.shell.publish("execute_result", {**content, "execution_count": self.prompt_count})

    def finish_displayhook(self) -> None:
        """End a result."""
        self.is_formatting = False


class _NoOutputs(dict[int, list[Any]]):
    """
    What the history keeps of the outputs of each cell: nothing.

    IPython notes whatever cells print, without a bound, for `%notebook` alone.
    """

    def __missing__(self, _: int) -> list[Any]:
        return []


class Shell(InteractiveShell):
    """A shell that publishes what it shows, and has nobody to ask."""

    displayhook: Any
    history_manager: Any
    extension_manager: Any
    displayhook_class = _Hook
    display_pub_class = _Publisher
    publish: Publish
    keepkernel_on_exit: bool | None = None
    # Called once when a cell asks to exit.
    on_exit: Callable[[], Any]
    # How the cell that ran last ended.
    last_traceback: list[str]
    has_display_failed = False

    def init_instance_attrs(self) -> None:
        """Leave the words of `exit` as in a kernel."""
        super().init_instance_attrs()
        self.exiter = ZMQExitAutocall(self)

    def init_environment(self) -> None:
        """Set the variables that a kernel sets."""
        os.environ.update(_ENVIRONMENT)
        if not os.environ.get("MPLBACKEND"):
            os.environ["MPLBACKEND"] = _BACKEND

    def init_hooks(self) -> None:
        """Show no pager: nbclient drops what a kernel has for one."""
        super().init_hooks()
        self.set_hook("show_in_pager", as_hook(lambda *_, **__: None), 99)

    def ask_exit(self) -> None:
        """End the kernel after this cell."""
        if not self.keepkernel_on_exit and not self.exit_now:
            self.exit_now = True
            self.on_exit()

    def enable_gui(self, gui: str | None = None) -> None:
        """Ignore event loops of windows: there is no screen."""

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        """Publish an exception."""
        # NOTE: the one private method that is replaced here; ipykernel's shell does so, too.
        self.has_display_failed |= self.displayhook.is_formatting
        self.last_traceback = stb
        content = {"ename": etype.__name__, "evalue": str(evalue), "traceback": stb}
        self.publish("error", content)


# NOTE: rich, tqdm, plotly and others take a shell for a notebook's by the name of its class.
Shell.__name__ = Shell.__qualname__ = "ZMQInteractiveShell"


def make_shell(publish: Publish) -> Shell:
    """Return the one shell of this process; the history is kept in memory."""
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    # NOTE: tqdm.auto looks for this section.
    config.IPKernelApp.tqdm = True
    InteractiveShell.clear_instance()
    shell: Shell = Shell.instance(config=config, compiler_class=_Compiler)
    shell.publish = publish
    shell.history_manager.outputs = _NoOutputs()
    shell.extension_manager.load_extension("storemagic")
    builtins.input = _refuse("raw_input")
    getpass.getpass = _refuse("getpass")
    return shell


def _refuse(name: str) -> Callable[..., Any]:
    """Return what stands in for `input` and `getpass`."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        msg = f"{name} was called, but this frontend does not support input requests."
        raise StdinNotImplementedError(msg)

    return refuse
