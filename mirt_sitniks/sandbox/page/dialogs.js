// What is asked for in a dialog: a new chat, faults, the webhook.

import { $, ask, make, now, options, say, toast } from "./dom.js";
import { sourceName } from "./filter.js";
import { faultName, t } from "./words.js";

const SOURCES = ["instagram", "telegram_bot", "telegram_private", "facebook", "viber_private", "whatsapp_private", "tiktok"];
const CALLS = {
  all: {}, list: { method: "GET", path: "/chats$" }, read: { method: "GET", path: "/chats/[^/]+$" }, status: { method: "PATCH", path: "/status$" },
  assign: { method: "PUT", path: "/chats/[^/]+$" }, messages: { path: "/messages$" }, notes: { path: "/notes$" }, managers: { path: "/managers$" }, orders: { path: "/orders" },
};

export function drawDialogs() {
  const { view } = now;
  options($("add-source"), SOURCES.map(source => [source, sourceName(source)]));
  options($("add-status"), view.statuses.map(status => [status, status]));
  options($("add-manager"), [["", t("nobody_named")], ...Object.entries(view.managers)]);
  options($("fault-kind"), view.fault_kinds.map(kind => [kind, faultName(kind)]));
  options($("fault-calls"), Object.keys(CALLS).map(name => [name, t(`calls_${name}`)]));
  $("faults-count").hidden = !view.faults.length;
  $("faults-open").classList.toggle("warn", !!view.faults.length);
  say($("faults-count"), String(view.faults.length));
  $("faults-clear").disabled = !view.faults.length;
  $("faults-list").replaceChildren(...view.faults.map(armed));
  if (!view.faults.length) $("faults-list").append(make("li", "muted", t("faults_none")));
  $("webhook-on").hidden = !view.webhook;
}

function armed(fault) {
  const line = make("li"), calls = [fault.method, fault.path].filter(Boolean).join(" ");
  line.append(make("b", "", faultName(fault.kind)), make("span", "muted", fault.times === null ? t("until_cleared") : t("times_left", fault.times)));
  if (calls) line.append(make("code", "", calls));
  return line;
}

function given(form) { return Object.fromEntries(new FormData(form)); }

async function addChat(event) {
  event.preventDefault();
  const { nickname, name, source, status, manager, text } = given(event.target);
  const made = await ask("POST", "/chats", {
    nickname: nickname.trim().replace(/^@/, "") || null, name: name.trim(), source, status,
    ...(manager ? { manager: Number(manager) } : {}), ...(text.trim() ? { text } : {}),
  });
  if (!made) return;
  event.target.reset();
  $("add").close();
}

async function armFault(event) {
  event.preventDefault();
  const { kind, calls, times } = given(event.target);
  await ask("POST", "/faults", { kind, ...CALLS[calls], times: times ? Number(times) : null });
}

async function openWebhook() {
  const settings = await ask("GET", "/settings");
  if (!settings) return;
  for (const input of $("webhook-form").elements) {
    if (input.type === "checkbox") input.checked = settings[input.name];
    else if (input.name) input.value = settings[input.name] ?? "";
  }
  $("webhook").showModal();
}

async function setWebhook() {
  const form = $("webhook-form"), { webhook, webhook_shape, webhook_times, webhook_delay } = given(form);
  if (!form.reportValidity()) return null;
  return ask("PUT", "/settings", {
    webhook: webhook.trim() || null, webhook_shape, webhook_times: Number(webhook_times), webhook_delay: Number(webhook_delay), webhook_swapped: form.elements.webhook_swapped.checked,
  });
}

/** What is typed counts, also before it was saved. */
async function sendWebhook(body) { if (await setWebhook()) await ask("POST", "/webhook", body); }

export function watchDialogs() {
  $("add-open").addEventListener("click", () => $("add").showModal());
  $("add-form").addEventListener("submit", addChat);
  $("faults-open").addEventListener("click", () => $("faults").showModal());
  $("faults-form").addEventListener("submit", armFault);
  $("faults-clear").addEventListener("click", () => ask("DELETE", "/faults"));
  $("webhook-open").addEventListener("click", openWebhook);
  $("webhook-form").addEventListener("submit", async event => {
    event.preventDefault();
    if (await setWebhook()) { $("webhook").close(); toast(t("saved"), true); }
  });
  $("webhook-ping").addEventListener("click", () => sendWebhook({}));
  $("webhook-empty").addEventListener("click", () => sendWebhook({ body: null }));
  for (const dialog of document.querySelectorAll("dialog")) {
    // A click on what is behind a dialog is one on the dialog itself; one that ends a selection began elsewhere.
    let pressed = null;
    dialog.addEventListener("pointerdown", event => { pressed = event.target; });
    dialog.addEventListener("click", event => { if (event.target === dialog && pressed === dialog) dialog.close(); });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  }
}
