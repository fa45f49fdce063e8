"use strict";
// Pages work without this. It keeps the address in step with the selection, leaves empty fields out of it, and follows what runs.

const form = document.getElementById("runs");

if (form) {
  const compact = (data) => {
    const pairs = [...data].filter(([, value]) => value !== "");
    const usual = [...form.querySelectorAll("input[name=column]")].every((box) => box.checked === box.defaultChecked);
    const chosen = new URLSearchParams(location.search).has("column");
    // The last of a key wins, as on the server.
    const sorts = pairs.filter(([name]) => name === "sort");
    return pairs.filter(([name, value]) => {
      if (name === "column") return chosen || !usual;
      if (name === "sort") return value === sorts.at(-1)[1] && value !== "-started";
      return true;
    }).filter(([name], index, all) => name !== "sort" || all.findIndex((pair) => pair[0] === name) === index);
  };
  const selected = () => new FormData(form).getAll("run").length;
  const show = () => {
    const count = selected();
    form.querySelector("[data-selected]").textContent = count;
    for (const button of form.querySelectorAll("[data-needs]")) button.disabled = count < Number(button.dataset.needs);
  };
  form.addEventListener("change", (event) => {
    if (event.target.name !== "run") return;
    const page = new URLSearchParams(location.search).get("page");
    const pairs = compact(new FormData(form));
    if (page) pairs.push(["page", page]);
    history.replaceState(null, "", pairs.length ? "?" + new URLSearchParams(pairs) : location.pathname);
    show();
  });
  form.addEventListener("formdata", (event) => {
    const pairs = compact(event.formData);
    for (const name of new Set(event.formData.keys())) event.formData.delete(name);
    for (const [name, value] of pairs) event.formData.append(name, value);
  });
  // A page out of the browser's memory has its boxes back.
  addEventListener("pageshow", show);
  show();
}

const follow = async () => {
  const live = document.getElementById("live");
  if (!live || !live.hasAttribute("data-live")) return;
  if (!document.hidden) await refresh(live);
  setTimeout(follow, 1000);
};

const refresh = async (live) => {
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (answer.ok && fresh) replace(live, fresh);
  } catch {
    // The server is gone for now; it is asked again.
  }
};

// Only what differs is replaced, so that pictures do not flicker and a reader's place is kept.
const replace = (old, fresh) => {
  if (old.isEqualNode(fresh)) return;
  const same = old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName;
  if (!same) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const before = [...old.childNodes], after = [...fresh.childNodes];
  before.slice(after.length).forEach((node) => node.remove());
  after.forEach((node, index) => (index < before.length ? replace(before[index], node) : old.append(node)));
};

setTimeout(follow, 1000);
