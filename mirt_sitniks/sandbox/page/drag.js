// A card is taken by mouse, or by a finger that rests on it, and let go of over another column.

import { $, ask, calm } from "./dom.js";
import { cardOf, dropped, ghostOf } from "./board.js";

const FAR = 6, REST = 350, EDGE = 60, STEP = 14;
let held = null;

function take(event) {
  const node = event.target.closest(".card");
  if (!node || event.button !== 0 || held) return;
  held = { node, pointer: event.pointerId, x: event.clientX, y: event.clientY, finger: event.pointerType === "touch" };
  if (held.finger) held.resting = setTimeout(lift, REST);
}

function lift() {
  const box = held.node.getBoundingClientRect();
  held.ghost = ghostOf(held.node, box);
  held.dx = held.x - box.left;
  held.dy = held.y - box.top;
  held.node.classList.add("taken");
  document.body.classList.add("dragging");
  $("board").setPointerCapture(held.pointer);
  held.scrolling = setInterval(scroll, 16);
  follow();
}

function move(event) {
  if (!held || event.pointerId !== held.pointer) return;
  const far = Math.hypot(event.clientX - held.x, event.clientY - held.y) > FAR;
  if (!held.ghost && held.finger && far) { release(); return; }
  if (!held.ghost && !far) return;
  if (held.ghost || !held.finger) { held.x = event.clientX; held.y = event.clientY; }
  if (held.ghost) follow(); else lift();
}

function follow() {
  held.ghost.style.left = `${held.x - held.dx}px`;
  held.ghost.style.top = `${held.y - held.dy}px`;
  if (!calm.matches) held.ghost.style.transform = "rotate(1.500deg)";
  const over = columnUnder();
  for (const column of document.querySelectorAll(".column")) column.classList.toggle("over", column === over);
}

function columnUnder() {
  const under = document.elementsFromPoint(held.x, held.y).find(node => node.closest(".column"));
  return under ? under.closest(".column") : null;
}

function scroll() {
  const { left, right } = $("board").getBoundingClientRect();
  if (held.x < left + EDGE) $("board").scrollLeft -= STEP;
  else if (held.x > right - EDGE) $("board").scrollLeft += STEP;
  else return;
  follow();
}

function drop(event) {
  if (!held || event.pointerId !== held.pointer) return;
  if (!held.ghost) { release(); return; }
  const column = columnUnder(), id = held.node.dataset.chat, card = cardOf(id), box = held.ghost.getBoundingClientRect();
  release();
  // The click that follows would open the chat.
  addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", stop, { capture: true }), 0);
  if (!column || !card || column.dataset.status === card.chat.status) return;
  dropped.set(id, box);
  ask("POST", "/person", { chat: id, status: column.dataset.status });
}

function stop(event) { event.stopPropagation(); event.preventDefault(); }

function release() {
  if (!held) return;
  clearTimeout(held.resting);
  clearInterval(held.scrolling);
  if (held.ghost) held.ghost.remove();
  held.node.classList.remove("taken");
  document.body.classList.remove("dragging");
  for (const column of document.querySelectorAll(".over")) column.classList.remove("over");
  held = null;
}

export function watchDrag() {
  $("board").addEventListener("pointerdown", take);
  addEventListener("pointermove", move);
  addEventListener("pointerup", drop);
  addEventListener("pointercancel", release);
  addEventListener("keydown", event => { if (event.key === "Escape" && held) { release(); event.stopImmediatePropagation(); } }, true);
  // A finger that carries a card scrolls nothing, and opens no menu of the browser.
  document.addEventListener("touchmove", event => { if (held && held.ghost) event.preventDefault(); }, { passive: false });
  $("board").addEventListener("contextmenu", event => { if (held) event.preventDefault(); });
}
