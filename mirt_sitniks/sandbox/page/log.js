// The log: every call and every webhook as a line, and the way from a line to its card.

import { $, make, now, say } from "./dom.js";
import { clockTime, faultName, t } from "./words.js";

const TOLD = [
  [/^GET \/chats$/, "told_list"], [/^GET \/chats\/[^/]+$/, "told_read"], [/^PATCH \/chats\/[^/]+\/status$/, "told_status"],
  [/^PUT \/chats\/[^/]+$/, "told_assign"], [/^POST \/chats\/[^/]+\/notes$/, "told_note"],
  [/^GET \/chats\/[^/]+\/messages$/, "told_messages"], [/^POST \/chats\/[^/]+\/messages$/, "told_message"], [/^GET \/managers$/, "told_managers"],
  [/^POST \/orders$/, "told_order_new"], [/^GET \/orders$/, "told_orders"], [/^GET \/orders\/statuses$/, "told_order_statuses"],
  [/^PUT \/orders\/[^/]+\/status$/, "told_order_status"], [/^GET \/orders\/[^/]+$/, "told_order"], [/^GET \/products\/variations$/, "told_variations"],
];

function told({ method, path, body, webhook, chat_id }) {
  if (webhook !== undefined) return chat_id ? t("told_webhook") : webhook ? t("told_webhook_raw", webhook) : t("told_webhook_empty");
  const [, key] = TOLD.find(([pattern]) => pattern.test(`${method} ${path}`)) || [null, "told_unknown"];
  const { view } = now;
  if (key === "told_assign" && (!body || body.assignedManagerId === undefined)) return t("told_tags");
  if (key === "told_assign") return t(key, view.managers[body.assignedManagerId] || body.assignedManagerId);
  if (key === "told_status") return t(key, body && body.status || "?");
  if (key === "told_order_status") return t(key, body && view.order_statuses[body.statusId] || "?");
  return t(key);
}

function answered({ status, fault, error, webhook }) {
  const silent = fault || webhook !== undefined;
  const tone = status === null ? (silent ? "bad" : "") : status < 300 ? "good" : status === 429 || status >= 500 ? "bad" : "warn";
  const chip = make("span", `chip ${tone}`, status === null ? (silent ? t("no_answer") : "…") : String(status));
  if (fault) chip.title = t("fault", faultName(fault));
  if (error) chip.title = error;
  return chip;
}

function line(entry, present) {
  const row = make("li", entry.webhook === undefined ? "" : "out"), leads = present.has(entry.chat_id);
  const why = entry.fault ? t("fault", faultName(entry.fault)) : entry.error, what = told(entry) + (why ? ` · ${why}` : "");
  const words = make(leads ? "button" : "span", "what", what);
  if (leads) { words.type = "button"; words.dataset.leads = entry.chat_id; }
  row.append(make("span", "time", clockTime(entry.date)), answered(entry), words, make("span", "about", entry.chat || ""),
    make("span", "raw mono", entry.webhook === undefined ? `${entry.method} ${entry.path}` : "→ POST"));
  for (const cell of row.children) if (!cell.title) cell.title = cell === words && leads ? `${what} · ${t("to_card")}` : cell.textContent;
  return row;
}

let known = new Map();

export function drawLog(again) {
  const { view } = now, present = new Set(view.chats.map(chat => chat.id)), next = new Map();
  if (again) known = new Map();
  for (const entry of view.log) {
    const mark = `${entry.id} ${entry.status} ${entry.fault} ${entry.chat} ${present.has(entry.chat_id)}`;
    next.set(mark, known.get(mark) || line(entry, present));
  }
  known = next;
  const rows = [...next.values()].reverse(), list = $("lines");
  if (!rows.length) rows.push(make("li", "none", t("log_none")));
  for (const old of [...list.children]) if (!rows.includes(old)) old.remove();
  // What stands there stays where it is, with its focus.
  rows.forEach((row, index) => { if (list.children[index] !== row) list.insertBefore(row, list.children[index] || null); });
  say($("log-total"), view.log_total ? t("log_total", view.log_total) : "");
}

export function watchLog(lead) {
  $("lines").addEventListener("click", event => {
    const row = event.target.closest("li"), button = row && row.querySelector("[data-leads]");
    // Who marks a line's text to copy it wants to stay here.
    if (button && (getSelection().isCollapsed || !row.contains(getSelection().anchorNode))) lead(button.dataset.leads);
  });
}
