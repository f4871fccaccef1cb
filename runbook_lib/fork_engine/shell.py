"""
The IPython shell whose cells the child runs: what ipykernel's is to a front end, without sockets.

What a cell shows leaves through one function, `publish`; how it travels is
not decided here.
"""

from __future__ import annotations

import builtins
import getpass
import logging
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from IPython.core.autocall import ZMQExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.completer import ProvisionalCompleterWarning
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.page import as_hook
from IPython.core.profiledir import ProfileDir
from IPython.core.shellapp import InteractiveShellApp
from IPython.paths import get_ipython_dir
from traitlets.config import Config
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

# Called with the name of a message and its content.
Publish = Callable[..., None]

_NO_INPUT = "{} was called, but this frontend does not support input requests."
_WIDGET = "application/vnd.jupyter.widget-view+json"
_CONFIG_NAMES = ("ipython_config", "ipython_kernel_config")
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
        """Publish `data`, by MIME type; a widget shows its text, for it has no model here."""
        self._validate_data(data, metadata or {})
        self.shell.publish(
            "update_display_data" if update else "display_data",
            data={kind: value for kind, value in data.items() if kind != _WIDGET},
            metadata=metadata or {},
            display_id=(transient or {}).get("display_id"),
        )

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002
        """Clear the cell's outputs, or have the next output replace them."""
        self.shell.publish("clear_output", wait=wait)


class _Hook(DisplayHook):
    """Publishes the value of a cell's last expression."""

    shell: Any
    result: dict[str, Any] | None = None

    def start_displayhook(self) -> None:
        """Begin a result."""
        self.result = {"data": {}, "metadata": {}}

    def write_output_prompt(self) -> None:
        """Number the result."""
        self._content()["execution_count"] = self.prompt_count

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        """Note the representations of the value."""
        data = {kind: value for kind, value in format_dict.items() if kind != _WIDGET}
        self._content().update(data=data, metadata=md_dict or {})

    def finish_displayhook(self) -> None:
        """Publish the result."""
        content, self.result = self._content(), None
        if content["data"]:
            self.shell.publish("execute_result", **content)

    def _content(self) -> dict[str, Any]:
        return self.result if self.result is not None else {"data": {}, "metadata": {}}


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
    displayhook_class = _Hook
    display_pub_class = _Publisher
    # Set on the class before the shell is made, because start-up files may show something.
    publish: Publish
    keepkernel_on_exit: bool | None = None
    # Called once when a cell asks to exit.
    on_exit: Callable[[], Any]
    # The traceback of the cell that ran last.
    last_traceback: list[str]
    has_display_failed = False

    def init_instance_attrs(self) -> None:
        """Leave the words of `exit` as in a kernel."""
        super().init_instance_attrs()
        self.exiter = ZMQExitAutocall(self)
        self.last_traceback = []

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

    def begin_cell(self) -> None:
        """Forget how the last cell ended."""
        self.last_traceback = []
        self.has_display_failed = False

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        """Publish an exception."""
        self.has_display_failed |= self.displayhook.result is not None
        self.last_traceback = stb
        self.publish("error", ename=etype.__name__, evalue=str(evalue), traceback=stb)


# NOTE: rich, tqdm, plotly and others take a shell for a notebook's by the name of its class.
Shell.__name__ = Shell.__qualname__ = "ZMQInteractiveShell"


class _Startup(InteractiveShellApp):
    """Does what a profile asks for: extensions, lines and files to run first."""

    # No command line.
    extra_args: ClassVar[list[str]] = []

    def __init__(self, shell: Shell, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.shell = shell
        self.ipython_dir = shell.ipython_dir
        self.profile_dir = shell.profile_dir
        self.log = logging.getLogger("IPKernelApp")


def make_shell(publish: Publish) -> Shell:
    """
    Return the one shell of this process, with the configuration of the user's default profile.

    Reads `HOME` and `IPYTHONDIR`, as a kernel does; the history is kept in memory.
    """
    directory = get_ipython_dir()
    profile = ProfileDir.create_profile_dir_by_name(directory, "default")
    config = _profile_config(Path(profile.location))
    config.HistoryManager.hist_file = ":memory:"
    # NOTE: tqdm.auto looks for this section.
    config.IPKernelApp.tqdm = True
    Shell.publish = staticmethod(publish)
    InteractiveShell.clear_instance()
    shell: Shell = Shell.instance(config=config, profile_dir=profile, compiler_class=_Compiler)
    shell.history_manager.outputs = _NoOutputs()
    # As IPython does when it is imported, which may have been under other filters.
    warnings.filterwarnings("error", category=ProvisionalCompleterWarning)
    builtins.input = _refuse("raw_input")
    getpass.getpass = _refuse("getpass")
    startup = _Startup(shell, config=config)
    startup.init_path()
    startup.init_extensions()
    startup.init_code()
    return shell


def _profile_config(folder: Path) -> Config:
    config = Config()
    for name in _CONFIG_NAMES:
        for loader, ending in ((PyFileConfigLoader, "py"), (JSONFileConfigLoader, "json")):
            if (folder / f"{name}.{ending}").exists():
                config.merge(loader(f"{name}.{ending}", str(folder)).load_config())
    return config


def _refuse(name: str) -> Callable[..., Any]:
    """Return what stands in for `input` and `getpass`."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise StdinNotImplementedError(_NO_INPUT.format(name))

    return refuse
