// Elements, and what the page's parts share: the last view, and questions to the sandbox.

import { ago, t } from "./words.js";

export const $ = id => document.getElementById(id);
export const calm = matchMedia("(prefers-reduced-motion: reduce)");
/** The last state that the sandbox told of, and when it came. */
export const now = { view: null, received: 0 };

// Text goes in as text only: names come from strangers.
export function make(tag, kind, text) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text;
  return node;
}

export function say(node, text) { if (node.textContent !== text) node.textContent = text; }

export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS(svg.namespaceURI, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Fills a select with [value, text] pairs and keeps what was chosen, if it is still there. */
export function options(select, pairs) {
  const wanted = JSON.stringify(pairs), chosen = select.value;
  if (select.dataset.pairs === wanted) return;
  select.dataset.pairs = wanted;
  select.replaceChildren(...pairs.map(([value, text]) => { const one = make("option", "", text); one.value = value; return one; }));
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}

export function elapsed() { return (performance.now() - now.received) / 1000; }
// Relative to the server's clock: the two may differ.
export function since(date) {
  return ago(Math.max(0, (Date.parse(now.view.date) - Date.parse(date)) / 1000 + elapsed()), date);
}

const FACES = [195, 340, 85, 285, 30, 145, 240];
function initials(name) { return name.split(/\s+/).filter(Boolean).slice(0, 2).map(word => [...word][0].toUpperCase()).join("") || "?"; }

/** A manager's round face; nobody's is empty. */
export function face(node, name, hue) {
  const known = Object.values(now.view.managers).indexOf(name);
  node.className = name ? "face" : "face nobody";
  say(node, name ? initials(name) : "");
  node.setAttribute("aria-hidden", "true");
  node.style.setProperty("--hue", hue ?? FACES[Math.max(0, known) % FACES.length]);
  return node;
}

const CHANNELS = [
  ["instagram", "Instagram", "M7 2.5h10A4.5 4.5 0 0 1 21.5 7v10a4.5 4.5 0 0 1-4.5 4.5H7A4.5 4.5 0 0 1 2.5 17V7A4.5 4.5 0 0 1 7 2.5zM12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM17.3 6.7v.01"],
  ["telegram", "Telegram", "M21.5 4 2.8 11.2l5.7 2L17 7.5l-6.3 7.2v4.8l3.2-3.4 4.3 3.1z"],
  ["facebook", "Facebook", "M14.5 21.5V13h3l.5-3.5h-3.5V7.6c0-1.2.5-1.9 2-1.9H18V2.7c-.6-.1-1.5-.2-2.6-.2-2.7 0-4.4 1.6-4.4 4.6v2.4H8V13h3v8.5"],
  ["viber", "Viber", "M12 3c5 0 8.5 2.8 8.5 8S17 18.5 12 18.500L8.5 21.500V18C5.3 17 3.5 14.5 3.5 11 3.5 5.8 7 3 12 3zM9 8.500c0 3.5 2.5 6 6 6"],
  ["whatsapp", "WhatsApp", "M3.5 20.500l1.3-4.300A8.5 8.5 0 1 1 8 19.300zM9 8.500c0 3.5 2.5 6 6 6"],
  ["tiktok", "TikTok", "M13.5 3v12.500a3.7 3.7 0 1 1-3.7-3.700M13.5 3c.4 3 2.4 5 5.5 5.2"],
];
/** A channel's kind, name and icon by a chat's source. */
export function channel(source) {
  return CHANNELS.find(([start]) => source.startsWith(start)) || ["other", source, "M4 5h16v11H9l-5 4z"];
}

let hiding;
export function toast(text, good = false) {
  $("toast").classList.toggle("good", good);
  $("toast").textContent = text;
  clearTimeout(hiding);
  hiding = setTimeout(() => { $("toast").textContent = ""; }, 5000);
}

/** Asks the sandbox; null when it refused, which the page then says. */
export async function ask(method, path, body) {
  try {
    const answer = await fetch(`/_sandbox${path}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
    const said = await answer.json();
    if (answer.ok) return said;
    toast(said.message);
  } catch { toast(t("unreachable")); }
  return null;
}
