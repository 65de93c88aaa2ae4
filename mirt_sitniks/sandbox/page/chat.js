// An open chat: its story in one line of time, its status and manager, and a pen for three hands.

import { $, ask, calm, channel, face, icon, make, now, options, say } from "./dom.js";
import { cardOf } from "./board.js";
import { day, fullTime, shortTime, t } from "./words.js";

const ARROW = "M5 12h13M13 6.500l5.5 5.5-5.5 5.5", HUE_OF_CUSTOMERS = 250;
const whole = matchMedia("(max-width: 900px)");
let open = null, drawn = [], asked = "", question = 0;

function chatOf() { return open && cardOf(open) && cardOf(open).chat; }

// ---- Opening and closing

export function openChat(id) {
  const before = open && cardOf(open);
  if (before) before.node.classList.remove("opened");
  open = id;
  drawn = [];
  asked = "";
  $("story").replaceChildren();
  $("compose").reset();
  asManager();
  $("chat").hidden = false;
  cover();
  drawChat();
  cardOf(id).node.scrollIntoView({ block: "nearest", inline: "nearest" });
  $("chat-name").focus();
}

export function closeChat() {
  if (!open) return;
  const card = cardOf(open);
  open = null;
  $("chat").hidden = true;
  cover();
  if (!card) return;
  card.node.classList.remove("opened");
  card.node.querySelector(".name").focus();
}

// Where the chat fills the screen nothing behind it can be reached.
function cover() {
  const behind = [document.querySelector("header"), document.querySelector(".bar"), $("board"), document.querySelector("footer")];
  for (const part of behind) part.inert = !!open && whole.matches;
}

// ---- Drawing

export function drawChat(again) {
  const chat = chatOf();
  if (open && !chat) closeChat();
  if (!chat) return;
  if (again) { drawn = []; asked = ""; $("story").replaceChildren(); }
  cardOf(open).node.classList.add("opened");
  say($("chat-name"), chat.name || t("no_name"));
  say($("chat-nick"), [chat.nickname ? `@${chat.nickname}` : t("no_nickname"), channel(chat.source)[1]].join(" · "));
  face($("chat-face"), chat.name || "?", HUE_OF_CUSTOMERS);
  const statuses = [...new Set([...now.view.statuses, chat.status])].map(status => [status, status]);
  const people = Object.entries(now.view.managers), gone = chat.manager_id !== null && !now.view.managers[chat.manager_id];
  options($("chat-status"), statuses);
  options($("chat-manager"), [...(chat.manager_id === null || gone ? [["", t("nobody")]] : []), ...people]);
  options($("compose-manager"), [["", t("chats_manager")], ...people]);
  $("chat-status").value = chat.status;
  $("chat-manager").value = gone ? "" : chat.manager_id ?? "";
  const parts = `${chat.id} ${chat.messages} ${chat.notes} ${chat.changes}`;
  if (parts !== asked) { asked = parts; tell(chat.id); }
}

async function tell(id) {
  const number = ++question, found = await ask("GET", `/chat?chat=${encodeURIComponent(id)}`);
  if (!found || number !== question || id !== open) return;
  const entries = [
    ...found.history.map(change => [change.date, "change", change]),
    ...found.messages.map(message => [message.createdAt, "message", message]),
    ...found.notes.map(note => [note.createdAt, "note", note]),
  ].sort(([one], [two]) => (one < two ? -1 : one > two ? 1 : 0));
  draw(entries);
}

// Only what is new is added, so that a screen reader reads only that.
function draw(entries) {
  const story = $("story"), marks = entries.map(entry => JSON.stringify(entry)), first = !drawn.length;
  const kept = drawn.every((mark, index) => mark === marks[index]) ? drawn.length : 0;
  const low = story.scrollHeight - story.scrollTop - story.clientHeight < 40;
  if (!kept) story.replaceChildren();
  entries.forEach(([date, kind, what], index) => {
    if (index < kept) return;
    if (!index || day(date) !== day(entries[index - 1][0])) story.append(make("li", "day", day(date)));
    story.append({ change: showChange, message: showMessage, note: showNote }[kind](what, date));
  });
  if (!entries.length) story.append(make("li", "quiet", t("quiet")));
  drawn = marks;
  if (low || first) story.scrollTo({ top: story.scrollHeight, behavior: first || calm.matches ? "auto" : "smooth" });
}

function stamp(date) {
  const time = make("time", "", shortTime(date));
  time.dateTime = date;
  time.title = fullTime(date);
  return time;
}

function showMessage(message, date) {
  const line = make("li", message.customer ? "said customer" : "said shop"), head = make("div", "by");
  const writer = message.customer ? $("chat-name").textContent : message.managerName || (message.managerName === "" ? t("from_api") : t("from_phone"));
  if (message.managerName) head.append(face(make("span"), message.managerName));
  head.append(make("b", "", writer));
  if (message.commentId) head.append(make("span", "chip", t("comment")));
  head.append(stamp(date));
  line.append(head, make("p", "text", message.text));
  if (message.attachments.length) line.append(make("p", "muted", t("attached", message.attachments.length)));
  return line;
}

function showNote(note, date) {
  const line = make("li", "note"), head = make("div", "by");
  head.append(make("b", "", t("note_by", note.managerName)), stamp(date));
  line.append(head, make("p", "text", note.text));
  return line;
}

function showChange(change, date) {
  const line = make("li", "change"), shown = value => (Array.isArray(value) ? value.join(", ") || t("none") : value ?? t("nobody"));
  const after = make("b", "", shown(change.after));
  if (change.field !== "status") line.append(make("span", "", `${t(change.field)}:`));
  const by = make("span", "", `${t(`by_${change.by}`)} `);
  by.append(stamp(date));
  line.append(make("span", "", shown(change.before)), icon(ARROW), after, by);
  return line;
}

// ---- Hands

function asManager() { $("compose-manager").hidden = $("compose").elements.by.value !== "person"; }

async function write(event) {
  event.preventDefault();
  const by = $("compose").elements.by.value, text = $("compose-text").value, manager = Number($("compose-manager").value);
  if (!text.trim()) return;
  const sent = await ask("POST", "/messages", { chat: open, text, by, ...(by === "person" && manager ? { manager } : {}) });
  if (!sent) return;
  $("compose-text").value = "";
  $("compose-text").focus();
}

function change(what) { return ask("POST", "/person", { chat: open, ...what }).then(() => drawChat()); }

export function watchChat() {
  $("board").addEventListener("click", event => {
    const card = event.target.closest(".card");
    if (card) openChat(card.dataset.chat);
  });
  $("chat-close").addEventListener("click", closeChat);
  $("chat-status").addEventListener("change", event => change({ status: event.target.value }));
  $("chat-manager").addEventListener("change", event => { if (event.target.value) change({ manager: Number(event.target.value) }); });
  $("compose").addEventListener("change", asManager);
  $("compose").addEventListener("submit", write);
  $("compose-text").addEventListener("keydown", event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("compose").requestSubmit(); }
  });
  addEventListener("keydown", event => { if (event.key === "Escape" && !document.querySelector("dialog[open]")) closeChat(); });
  whole.addEventListener("change", cover);
}
