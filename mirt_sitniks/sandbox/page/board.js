// The columns and their cards: drawn from a view, moved with a flight, filtered, opened, found from the log.

import { $, calm, channel, face, icon, make, now, say, since } from "./dom.js";
import { filtered, fits } from "./filter.js";
import { fullTime, money, t } from "./words.js";

const HUES = [235, 190, 45, 300, 150, 275, 20, 110], SHOWN_ORDERS = 2;
const HANDS = { api: "M13 3 5 13.5h6L10 21l8-10.5h-6z", person: "M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5a7.5 7.5 0 0 1 15 0" };
const BAG = "M5 8h14l1 12.5H4zM8.5 8V6.5a3.5 3.5 0 0 1 7 0V8", NOTE = "M5 3.5h14v11l-6 6H5zM13 20.500v-6h6";
const CALL = 'POST /_sandbox/chats\n{"nickname": "iryna.example"}';
const columns = new Map(), cards = new Map();
// Where cards were let go of by hand: their flight begins there.
export const dropped = new Map();

export function cardOf(id) { return cards.get(id); }

// ---- One card

function fill(node, chat) {
  const [kind, name, path] = channel(chat.source), top = make("div", "top"), names = make("div", "names");
  const open = make("button", "name", chat.name || t("no_name")), nick = make("div", "nick", chat.nickname ? `@${chat.nickname}` : t("no_nickname"));
  const where = make("span", `channel ${kind}`);
  open.type = "button";
  open.title = chat.name;
  open.setAttribute("aria-controls", "chat");
  nick.title = nick.textContent;
  where.title = name;
  where.append(icon(path), make("span", "hidden", name));
  names.append(open, nick);
  top.append(names, where);
  const parts = [top];
  if (chat.last || chat.notes) parts.push(said(chat));
  parts.push(foot(chat));
  if (chat.orders.length) parts.push(orders(chat));
  // The button stays the same one, or a change would take the focus away.
  const focused = node.contains(document.activeElement);
  node.replaceChildren(...parts);
  if (focused) open.focus({ preventScroll: true });
}

function said(chat) {
  const line = make("div", "under"), { last } = chat;
  line.append(make("p", !last ? "last none" : last.customer ? "last customer" : "last", last ? last.text : ""));
  if (chat.notes) { const notes = make("span", "notes"); notes.append(icon(NOTE), String(chat.notes)); notes.title = t("calls_notes"); line.append(notes); }
  return line;
}

function foot(chat) {
  const line = make("div", "foot"), manager = make("span", "manager", chat.manager || t("nobody")), when = make("span", "when"), time = make("time", "", since(chat.changed));
  manager.title = chat.manager ? `${t("manager")}: ${chat.manager}` : t("nobody_named");
  manager.classList.toggle("nobody", !chat.manager);
  time.dateTime = chat.changed;
  const by = chat.by ? t(`by_${chat.by}`) : t("from_start");
  when.title = t("status_changed", by, fullTime(chat.changed));
  if (chat.by) { when.classList.add(chat.by); when.append(icon(HANDS[chat.by]), make("span", "hidden", by)); }
  when.append(time);
  line.append(face(make("span"), chat.manager), manager);
  line.append(when);
  return line;
}

function orders(chat) {
  const list = make("ul", "orders"), more = chat.orders.length - SHOWN_ORDERS;
  list.setAttribute("aria-label", t("orders"));
  for (const order of chat.orders.slice(0, SHOWN_ORDERS)) {
    const line = make("li"), status = make("span", "chip", order.status);
    status.title = order.status;
    line.append(icon(BAG), make("b", "", `№${order.number}`), make("span", "sum", money(order.total)), status);
    list.append(line);
  }
  if (more > 0) list.append(make("li", "more", t("more", more)));
  return list;
}

// ---- Motion

function within(rect, box) {
  const top = Math.min(Math.max(rect.top, box.top - rect.height / 2), box.bottom - rect.height / 2);
  return { left: rect.left, top, width: rect.width, height: rect.height };
}

/** A copy of a card that floats above the page; a list clips what leaves it. */
export function ghostOf(node, box) {
  const ghost = node.cloneNode(true);
  ghost.classList.remove("fresh", "opened");
  ghost.classList.add("ghost");
  ghost.setAttribute("aria-hidden", "true");
  ghost.inert = true;
  ghost.removeAttribute("data-chat");
  Object.assign(ghost.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px`, visibility: "" });
  document.body.append(ghost);
  return ghost;
}

function fly(node, from, to) {
  const ghost = ghostOf(node, to), dx = from.left - to.left, dy = from.top - to.top;
  node.style.visibility = "hidden";
  const flight = ghost.animate(
    [{ transform: `translate(${dx}px, ${dy}px)` }, { transform: `translate(${dx / 2}px, ${dy / 2 - 10}px) rotate(1deg) scale(1.02)` }, { transform: "none" }],
    { duration: 620, easing: "cubic-bezier(.3, .1, .2, 1)" });
  const land = () => { ghost.remove(); node.style.visibility = ""; glow(node); };
  flight.onfinish = land;
  flight.oncancel = land;
}

export function glow(node) {
  node.classList.remove("fresh");
  void node.offsetWidth;
  node.classList.add("fresh");
  clearTimeout(node.glowing);
  node.glowing = setTimeout(() => node.classList.remove("fresh"), 2600);
}

/** Brings a chat's card into sight, wherever it is, and makes it glow. */
export function reveal(id) {
  const { node } = cards.get(id);
  node.scrollIntoView({ block: "center", inline: "center", behavior: calm.matches ? "auto" : "smooth" });
  node.querySelector(".name").focus({ preventScroll: true });
  glow(node);
}

// ---- All of it

function column(status, index) {
  if (!columns.has(status)) {
    const root = make("section", "column"), title = make("h2"), list = make("ul", "cards"), count = make("span", "count");
    title.append(make("span", "title", status), count);
    title.title = status;
    list.tabIndex = -1;
    list.setAttribute("aria-label", status);
    root.append(title, list, make("p", "empty"));
    root.dataset.status = status;
    columns.set(status, { root, list, count });
  }
  const found = columns.get(status);
  found.root.style.setProperty("--hue", HUES[index % HUES.length]);
  return found;
}

function news(old, chat) {
  if (!old) return t("new_chat", chat.name);
  if (old.status !== chat.status) return t("moved", chat.name, old.status, chat.status);
  if (JSON.stringify(old.orders) !== JSON.stringify(chat.orders)) {
    const [order] = chat.orders;
    return order ? t("ordered", chat.name, order.number, order.status) : t("no_orders", chat.name);
  }
  if (old.manager !== chat.manager) return t("assigned", chat.name, chat.manager || t("nobody"));
  return old.messages < chat.messages ? `${chat.name}: ${chat.last.text}` : null;
}

function place(again) {
  const { view } = now, changed = [], told = [];
  const strange = view.chats.map(chat => chat.status).filter(status => !view.statuses.includes(status));
  const order = [...new Set([...view.statuses, ...strange])];
  for (const [status, old] of columns) if (!order.includes(status)) { old.root.remove(); columns.delete(status); }
  order.forEach((status, index) => {
    const { root } = column(status, index);
    if ($("board").children[index] !== root) $("board").insertBefore(root, $("board").children[index] || null);
  });
  const present = new Set(view.chats.map(chat => chat.id));
  for (const [id, card] of cards) if (!present.has(id)) { card.node.remove(); cards.delete(id); }
  const next = new Map(order.map(status => [status, 0]));
  for (const chat of view.chats) {
    const old = cards.get(chat.id), card = old || { node: make("li", "card") };
    card.node.dataset.chat = chat.id;
    cards.set(chat.id, card);
    if (again || !old || JSON.stringify(old.chat) !== JSON.stringify(chat)) fill(card.node, chat);
    const said = news(old && old.chat, chat), { list } = columns.get(chat.status), at = next.get(chat.status);
    card.chat = chat;
    if (list.children[at] !== card.node) move(list, card.node, list.children[at] || null);
    next.set(chat.status, at + 1);
    if (said) { changed.push(card); told.push(said); }
  }
  return { changed, told };
}

function move(list, node, before) {
  const focused = node.contains(document.activeElement) && document.activeElement;
  list.insertBefore(node, before);
  if (focused) focused.focus({ preventScroll: true });
}

/** Shows what fits the filter, and counts it. */
export function sift() {
  const { view } = now, narrowed = filtered();
  const shown = new Map([...columns.keys()].map(status => [status, 0])), all = new Map(shown);
  for (const { node, chat } of cards.values()) {
    node.hidden = !fits(chat);
    all.set(chat.status, all.get(chat.status) + 1);
    if (!node.hidden) shown.set(chat.status, shown.get(chat.status) + 1);
  }
  [...columns].forEach(([status, { root, count }], index) => {
    root.classList.toggle("none", !shown.get(status));
    root.hidden = !!$("by-status").value && $("by-status").value !== status;
    say(count, narrowed ? `${shown.get(status)} / ${all.get(status)}` : String(all.get(status)));
    const first = !view.chats.length && $("board").firstChild === root;
    say(root.querySelector(".empty"), first ? `${t("hint")}\n${CALL}` : t(narrowed && all.get(status) ? "not_found" : "empty"));
  });
}

/** Draws the last view; `first`: nothing has changed, `again`: the words have. */
export function drawBoard(first, again) {
  const moving = !first && !again && !calm.matches && document.visibilityState === "visible", before = new Map();
  if (moving) for (const [id, { node }] of cards) before.set(id, { box: dropped.get(id) || node.getBoundingClientRect(), list: node.parentNode });
  const { changed, told } = place(again);
  dropped.clear();
  sift();
  if (first || again) return;
  if (told.length) say($("news"), told.join(". "));
  if (!moving) { changed.forEach(card => glow(card.node)); return; }
  for (const [id, { node }] of cards) if (!node.hidden && node.parentNode.getClientRects().length) settle(node, before.get(id), changed);
}

function settle(node, was, changed) {
  const box = node.getBoundingClientRect(), area = list => list.parentNode.getBoundingClientRect();
  if (!was) { node.animate([{ opacity: 0, transform: "translateY(-8px) scale(.98)" }, {}], { duration: 380, easing: "ease-out" }); glow(node); return; }
  if (was.list !== node.parentNode) { fly(node, within(was.box, area(was.list)), within(box, area(node.parentNode))); return; }
  const dy = was.box.top - box.top, dx = was.box.left - box.left;
  if (Math.abs(dy) + Math.abs(dx) > 1) node.animate([{ transform: `translate(${dx}px, ${dy}px)` }, {}], { duration: 420, easing: "cubic-bezier(.3, .1, .2, 1)" });
  if (changed.some(card => card.node === node)) glow(node);
}

export function drawTimes() {
  for (const { node, chat } of cards.values()) { const when = node.querySelector("time"); if (when) say(when, since(chat.changed)); }
}

/** Arrows lead from card to card: up and down in a column, left and right to the next one that has any. */
export function walk(event) {
  const here = event.target.closest(".card"), step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
  if (!here || !step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const lists = [...columns.values()].map(({ root, list }) => (root.hidden ? [] : [...list.children].filter(card => !card.hidden))).filter(list => list.length);
  const x = lists.findIndex(list => list.includes(here)), y = lists[x].indexOf(here), list = lists[x + step[0]];
  const there = list && list[Math.min(y + step[1], list.length - 1)];
  if (!there) return;
  event.preventDefault();
  there.querySelector(".name").focus();
}
