// The page's life: it listens to the sandbox and draws what it hears.

import { $, elapsed, make, now, say } from "./dom.js";
import { drawBoard, drawTimes, cardOf, reveal, sift, walk } from "./board.js";
import { drawChat, watchChat } from "./chat.js";
import { drawDialogs, watchDialogs } from "./dialogs.js";
import { watchDrag } from "./drag.js";
import { clearFilter, drawFilter, watchFilter } from "./filter.js";
import { drawLog, watchLog } from "./log.js";
import { label, switchLanguage, t } from "./words.js";

function drawState() {
  const { view } = now, gone = elapsed() * view.speed, { limit } = view;
  const used = limit.ages.filter(age => age + gone < limit.seconds).length, locked = Math.ceil(limit.locked_for - gone);
  const bars = $("bars");
  while (bars.children.length < limit.calls) bars.append(make("i"));
  [...bars.children].forEach((bar, index) => bar.classList.toggle("on", limit.on && (locked > 0 || index < used)));
  bars.classList.toggle("high", used > limit.calls - 3 && used < limit.calls);
  bars.classList.toggle("full", used >= limit.calls || locked > 0);
  say($("used"), limit.on ? t("used", used, limit.calls, limit.seconds) : t("unlimited"));
  $("limit").setAttribute("aria-valuemax", limit.calls);
  $("limit").setAttribute("aria-valuenow", used);
  $("lock").hidden = !(limit.on && locked > 0);
  say($("lock"), t("locked", locked));
  $("trial").hidden = !view.trial;
  const orders = view.orders_total ? t("totals_orders", view.orders_total) : "";
  say($("total"), view.chats.length ? t("totals", view.chats.length, Object.keys(view.managers).length) + orders : t("no_chats"));
}

/** Draws the last view; `first`: there was none before, `again`: only the words have changed. */
function draw(first, again) {
  drawFilter();
  drawBoard(first, again);
  drawState();
  drawDialogs();
  drawTimes();
  drawLog(again);
  drawChat(again);
}

let linked = "connecting";
function link(word) {
  linked = word;
  say($("link-text"), t(word));
  $("link").classList.toggle("off", word === "lost");
}

function listen() {
  const events = new EventSource("/_sandbox/events");
  events.onopen = () => link("live");
  // The browser reconnects by itself; only when it gave up for good is a new page needed.
  events.onerror = () => { link("lost"); if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000); };
  events.onmessage = event => {
    const first = now.view === null;
    now.view = JSON.parse(event.data);
    now.received = performance.now();
    draw(first, false);
  };
}

label();
link("connecting");
$("log").open = !matchMedia("(max-width: 760px), (max-height: 600px)").matches;
watchChat();
watchDialogs();
watchDrag();
watchFilter(() => { drawFilter(); sift(); });
watchLog(id => {
  if (cardOf(id).node.hidden) { clearFilter(); drawFilter(); sift(); }
  reveal(id);
});
$("board").addEventListener("keydown", walk);
$("language").addEventListener("click", () => { switchLanguage(); link(linked); if (now.view) draw(false, true); });
setInterval(() => { if (now.view) { drawState(); drawTimes(); } }, 500);
listen();
