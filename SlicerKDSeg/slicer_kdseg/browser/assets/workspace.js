/* Keys that work anywhere on the page except where somebody writes; a list that is closed is no such place. */
(function () {
  const listed = (element) => element.closest(".v-select") && element.getAttribute("aria-expanded") !== "true";
  const writing = (element) =>
    !listed(element) && (element.isContentEditable || ["TEXTAREA", "SELECT"].includes(element.tagName) ||
    (element.tagName === "INPUT" && !["checkbox", "radio", "range", "button", "color"].includes(element.type)));
  document.addEventListener("keydown", (event) => {
    if ((writing(event.target) && !event.altKey) || !window.trame || event.target.closest(".v-overlay--active")) return;
    if (event.key.startsWith("Arrow") && event.target.getAttribute("role") === "slider") return;
    const modifiers = (event.ctrlKey || event.metaKey ? "ctrl+" : "") + (event.altKey ? "alt+" : "") + (event.shiftKey ? "shift+" : "");
    const name = modifiers + event.key.toLowerCase();
    const known = (window.trame.state.get("keys") || []);
    if (known.includes(name)) {
      event.preventDefault();
      window.trame.trigger("key_pressed", [name]);
    }
  });
})();

/* A view's picture: it has a name, and says when the mouse has left it, after the last move that was held back. */
(function () {
  const LAST_MOVE_MILLISECONDS = 50;
  const furnishView = (element, name) => {
    const picture = element.querySelector(".remote-controlled-area");
    if (!picture) return requestAnimationFrame(() => furnishView(element, name));
    picture.setAttribute("role", "application");
    picture.setAttribute("aria-label", name);
    picture.addEventListener("pointerleave", () =>
      setTimeout(() => window.trame.trigger("view_left"), LAST_MOVE_MILLISECONDS));
  };
  window.kdseg = { ...window.kdseg, furnishView };
})();

/* A class that was just added: seen in a long list too, and ready to be given its name. */
(function () {
  const askForName = (row) => {
    row.scrollIntoView({ block: "nearest" });
    row.querySelector(".kdseg-name").select();
  };
  window.kdseg = { ...window.kdseg, askForName };
})();

/* Files: chosen or dropped, sent with progress; made and taken away. The workspace says a sentence when it refuses. */
(function () {
  let stop = null;
  const say = (sentence) => window.trame.state.set("message", sentence);
  const show = (sentence, percent) => window.trame.state.set("transfer", { busy: true, percent, sentence });
  const done = () => { stop = null; window.trame.state.set("transfer", { busy: false, percent: 0, sentence: "" }); };
  const send = (files) => {
    if (!files.length || stop || !window.trame) return;
    const form = new FormData();
    for (const file of files) form.append("file", file, file.name);
    const name = files.length > 1 ? files.length + " files" : files[0].name;
    const sending = new XMLHttpRequest();
    stop = () => sending.abort();
    sending.upload.onprogress = (event) =>
      show("Sending " + name, event.total ? Math.round((100 * event.loaded) / event.total) : 0);
    sending.onloadend = done;
    sending.onerror = () => say(name + " did not arrive; send it again.");
    sending.onabort = () => say("Sending was cancelled; nothing was opened.");
    sending.open("POST", "/upload");
    sending.send(form);
    show("Sending " + name, 0);
  };
  const download = async (name) => {
    if (stop) return;
    const making = new AbortController();
    stop = () => making.abort();
    show("Making " + name.replace("/", " "), 0);
    try {
      const made = await fetch("/make/" + name, { method: "POST", signal: making.signal });
      if (!made.ok) return;
      const link = document.createElement("a");
      link.href = (await made.json()).address;
      link.download = "";
      link.click();
    } catch (error) {
      say(making.signal.aborted ? "Saving was cancelled." : "The workspace did not answer; try again.");
    } finally {
      done();
    }
  };
  window.kdseg = {
    ...window.kdseg,
    pick: () => document.getElementById("kdseg-files").click(),
    upload: (input) => { send([...input.files]); input.value = ""; },
    download,
    cancel: () => stop && stop(),
  };
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    send([...event.dataTransfer.files]);
  });
})();

/* What views still ask of a workspace that has ended is refused by the connection; the page says the end by itself. */
(function () {
  const CONNECTION_NOT_OPEN = -32099;
  window.addEventListener("unhandledrejection", (event) => {
    if (event.reason?.code === CONNECTION_NOT_OPEN) event.preventDefault();
  });
})();
