"""Every sentence for a person passes through :func:`tr`, so that a host that has translations can put them in.

``from slicer_kdseg.protocol.words import tr as _``, then ``_("'{name}' was segmented.").format(name=name)``: Slicer's
tools collect the sentences from the sources in this form. Sentences that a backend writes come as they are.

A host is asked on its own thread only: PythonQt, which is behind Slicer's translations, is not made for two. What is
written on another thread is :class:`Unsaid` until :func:`said` is called on the host's.
"""

from __future__ import annotations

import string
import sys
import threading
from collections.abc import Callable

Translate = Callable[[str, str], str]


class _Words:
    translate: Translate | None = None


class Unsaid(str):
    """A sentence in English that remembers how it was made."""

    __slots__ = ("context", "template", "values")
    context: str
    template: str
    values: dict[str, object]

    def __new__(cls, text: str, context: str, template: str, values: dict[str, object]) -> Unsaid:
        made = super().__new__(cls, text)
        made.context, made.template, made.values = context, template, values
        return made

    def format(self, *_: object, **values: object) -> str:
        return Unsaid(self.template.format(**values), self.context, self.template, values)


def translate_with(translate: Translate | None) -> None:
    """``translate(context, text)``; a context is package and module, as ``slicer.i18n`` names it: "scene.session"."""
    _Words.translate = staticmethod(translate) if translate is not None else None


def tr(text: str) -> str:
    """``text`` in the host's language; as it stands where a translation has lost a placeholder."""
    if _Words.translate is None:
        return text
    context = ".".join(str(sys._getframe(1).f_globals["__name__"]).split(".")[-2:])
    return _translated(context, text) if _is_hosts() else Unsaid(text, context, text, {})


def said(text: str) -> str:
    """A sentence that may have been written on another thread, in the host's language."""
    if not isinstance(text, Unsaid) or not _is_hosts():
        return text
    values = {name: said(value) if isinstance(value, str) else value for name, value in text.values.items()}
    found = _translated(text.context, text.template)
    return found.format(**values) if values else found


def _is_hosts() -> bool:
    return threading.current_thread() is threading.main_thread()


def _translated(context: str, text: str) -> str:
    found = _Words.translate(context, text) if _Words.translate is not None else text
    return found if _placeholders(found) == _placeholders(text) else text


def _placeholders(text: str) -> set[tuple[str, str | None]]:
    try:
        return {(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:  # a brace too many
        return set()
