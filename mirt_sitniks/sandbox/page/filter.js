// Which chats are looked for: by words, status, manager and channel.

import { $, channel, now, options } from "./dom.js";
import { t } from "./words.js";

const FIELDS = ["search", "by-status", "by-manager", "by-source"], NOBODY = "nobody";

function words() { return $("search").value.trim().toLowerCase().replace(/^@/, ""); }

export function filtered() { return FIELDS.some(id => $(id).value.trim()); }

export function fits(chat) {
  const wanted = words(), manager = $("by-manager").value, status = $("by-status").value, source = $("by-source").value;
  const text = [chat.name, chat.nickname, chat.id, chat.last && chat.last.text].filter(Boolean).join("\n").toLowerCase();
  return text.includes(wanted) && (!status || status === chat.status) && (!source || source === chat.source)
    && (!manager || manager === (chat.manager_id === null ? NOBODY : String(chat.manager_id)));
}

export function clearFilter() {
  for (const id of FIELDS) $(id).value = "";
}

/** What there is to choose from, after each view. */
export function drawFilter() {
  const { view } = now, sources = [...new Set(view.chats.map(chat => chat.source))].sort();
  options($("by-status"), [["", t("all_statuses")], ...view.statuses.map(status => [status, status])]);
  options($("by-manager"), [["", t("all_managers")], ...Object.entries(view.managers), [NOBODY, t("nobody_named")]]);
  options($("by-source"), [["", t("all_sources")], ...sources.map(source => [source, sourceName(source)])]);
  $("filters-clear").hidden = !filtered();
  $("filters-open").classList.toggle("on", FIELDS.slice(1).some(id => $(id).value));
}

/** A source as people say it: several of one channel keep their difference. */
export function sourceName(source) {
  const name = channel(source)[1], rest = source.split("_").slice(1).join(" ");
  return rest ? `${name} (${rest})` : name;
}

export function watchFilter(sift) {
  for (const id of FIELDS) $(id).addEventListener("input", sift);
  $("filters-clear").addEventListener("click", () => { clearFilter(); sift(); $("search").focus(); });
  $("filters-open").addEventListener("click", () => {
    const open = $("filters").classList.toggle("open");
    $("filters-open").setAttribute("aria-expanded", open);
  });
}
