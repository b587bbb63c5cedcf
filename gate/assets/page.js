"use strict";
// Waits until the wallet on the other device has answered, then sends this browser back.
const page = document.getElementById("page");
const show = (id) => {
  for (const part of page.querySelectorAll("[data-part]")) {
    part.hidden = part.dataset.part !== id;
  }
};
const goOn = async () => {
  try {
    const response = await fetch(page.dataset.return, { method: "POST", redirect: "error" });
    const body = response.ok ? await response.json() : {};
    if (body.return_uri) {
      location.replace(body.return_uri);
      return;
    }
  } catch {
    // the text below says what to do
  }
  show("answered");
};
if (page.dataset.events) {
  const events = new EventSource(page.dataset.events);
  events.addEventListener("answered", () => { events.close(); goOn(); });
  events.addEventListener("expired", () => { events.close(); show("expired"); });
}
