"""The page's few kinds of controls, each with a name that a screen reader says and a hint that the mouse shows."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser.front import Click

Text = str | tuple[str]


def icon_button(icon: Text, name: str, click: Click | str, size: str = "small", hint: str = "", **more: Any) -> v3.VBtn:
    """A round button that shows only an icon; ``name`` is what it is called."""
    with v3.VBtn(
        icon=True,
        variant=more.pop("variant", "text"),
        size=size,
        click=click,
        raw_attrs=[f'aria-label="{name}"'],
        **more,
    ) as button:
        v3.VIcon(icon=icon)
        v3.VTooltip(hint or name, activator="parent", location="bottom")
    return button


def button(text: Text, click: Click | str, hint: str = "", **more: Any) -> v3.VBtn:
    """A button with words on it."""
    with v3.VBtn(
        click=click,
        variant=more.pop("variant", "tonal"),
        density="comfortable",
        **more,
    ) as made:
        html.Span(text if isinstance(text, str) else f"{{{{ {text[0]} }}}}")
        if hint:
            v3.VTooltip(hint, activator="parent", location="end")  # not over what stands below and is read next
    return made


def choice(name: str, items: str, value: str, chosen: Click, **more: Any) -> v3.VSelect:
    """A list to choose from; ``items`` and ``value`` are expressions over the page's state."""
    return v3.VSelect(
        label=name,
        items=(items,),
        model_value=(value,),
        update_modelValue=chosen,
        density="compact",
        variant="outlined",
        hide_details=True,
        **more,
    )


def several(name: str, items: str, held: str, **more: Any) -> v3.VSelect:
    """A list to choose several from; ``held`` is a variable of the page's own (:meth:`.Front.follow`)."""
    return v3.VSelect(
        label=name,
        items=(items,),
        v_model=(held,),
        multiple=True,
        chips=True,
        closable_chips=True,
        density="compact",
        variant="outlined",
        hide_details=True,
        **more,
    )


def box(name: str, value: str, chosen: Click, hint: str = "", **more: Any) -> v3.VCheckbox:
    """A box to tick."""
    with v3.VCheckbox(
        label=name,
        model_value=(value,),
        update_modelValue=chosen,
        density="compact",
        hide_details=True,
        color="primary",
        **more,
    ) as made:
        if hint:
            v3.VTooltip(hint, activator="parent", location="bottom")
    return made


def one_of(name: str, options: dict[str, str], value: str, chosen: Click, **more: Any) -> v3.VBtnToggle:
    """A few choices of which one holds; ``options`` maps a value to its words."""
    with v3.VBtnToggle(
        model_value=(value,),
        update_modelValue=chosen,
        mandatory=True,
        density="compact",
        variant="outlined",
        divided=True,
        color="primary",
        raw_attrs=[f'aria-label="{name}"', 'role="group"'],
        **more,
    ) as made:
        for option, words in options.items():
            v3.VBtn(words, value=option, size="small")
    return made
