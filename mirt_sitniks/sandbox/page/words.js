// What the page says, in two languages, and how it says numbers and times.

const FAULTS = {
  status: ["Помилка сервера", "Server error"], html: ["HTML замість JSON", "HTML instead of JSON"],
  empty: ["Порожня відповідь", "Empty answer"], shape: ["Інша структура", "Another shape"], huge: ["Відповідь на 50 МБ", "Answer of 50 MB"],
  slow: ["Повільна відповідь", "Slow answer"], drip: ["По одному байту", "Byte by byte"], hang: ["Зависання", "Hangs"],
  reset: ["Обрив з’єднання", "Connection reset"], reset_body: ["Обрив посередині", "Reset midway"],
  answer_lost: ["Виконано, відповідь загублено", "Done, answer lost"], applied_late: ["Виконано із запізненням", "Done late"],
  too_fast_503: ["503 «надто швидко»", "503 “too fast”"], rate_limited: ["429, забагато викликів", "429, too many calls"],
  refuse_key: ["401, ключ відхилено", "401, key refused"], trial: ["403, пробний тариф", "403, trial plan"],
  forbidden: ["403, немає права", "403, no right"], redirect: ["Перенаправлення", "Redirect"], refuse: ["Відмова", "Refusal"],
  ignored: ["200, але не виконано", "200, but not done"], shows: ["Відповідь показує інше", "Answer shows otherwise"],
  whole: ["Запис поверх чужих змін", "Overwrites others’ changes"],
};

const WORDS = {
  title: ["Sitniks · пісочниця", "Sitniks · sandbox"], board: ["Чати за статусами", "Chats by status"],
  other_language: ["EN", "УК"], switch_language: ["Switch to English", "Перейти на українську"],
  connecting: ["З’єдную…", "Connecting…"], live: ["Наживо", "Live"], lost: ["Немає зв’язку, з’єдную знову…", "No connection, trying again…"],
  unreachable: ["Пісочниця не відповідає", "The sandbox does not answer"],
  trial: ["Пробний тариф: API закрито", "Trial plan: the API is closed"], calls: ["Виклики API", "API calls"],
  used: ["{0} з {1} викликів за {2} с", "{0} of {1} calls in {2} s"], unlimited: ["ліміт вимкнено", "limit is off"],
  locked: ["Ключ заблоковано ще {0} с", "Key is locked for {0} s"],
  totals: ["Чатів: {0}, менеджерів: {1}", "Chats: {0}, managers: {1}"], totals_orders: [", замовлень: {0}", ", orders: {0}"],
  no_chats: ["Ще жодного чату", "No chats yet"],

  search: ["Ім’я, нікнейм або текст", "Name, nickname or text"], filters: ["Фільтри", "Filters"], clear_filters: ["Скинути", "Clear"],
  status: ["Статус", "Status"], manager: ["Відповідальний", "Responsible"], source: ["Канал", "Channel"],
  all_statuses: ["Усі статуси", "All statuses"], all_managers: ["Усі менеджери", "All managers"], all_sources: ["Усі канали", "All channels"],
  nobody: ["вільний", "nobody"], nobody_named: ["Без відповідального", "Nobody"],
  empty: ["Поки що порожньо", "Nothing here yet"], not_found: ["Нічого не знайдено", "Nothing found"],
  hint: ["Ще жодного чату. Додайте кнопкою або так:", "No chats yet. Add one with the button, or so:"],

  no_name: ["Без імені", "No name"], no_nickname: ["без нікнейму", "no nickname"], orders: ["Замовлення", "Orders"], more: ["і ще {0}", "and {0} more"],
  by_api: ["через API", "through the API"], by_person: ["людиною", "by a person"], from_start: ["від початку", "from the start"],
  status_changed: ["Статус {0}: {1}", "Status {0}: {1}"], new_chat: ["{0}: новий чат", "{0}: new chat"],
  moved: ["{0}: {1} → {2}", "{0}: {1} → {2}"], assigned: ["{0}: відповідальний {1}", "{0}: responsible {1}"],
  ordered: ["{0}: замовлення №{1}, {2}", "{0}: order no. {1}, {2}"], no_orders: ["{0}: без замовлень", "{0}: no orders"],
  just_now: ["щойно", "just now"], seconds_ago: ["{0} с тому", "{0} s ago"], minutes_ago: ["{0} хв тому", "{0} min ago"],
  hours_ago: ["{0} год тому", "{0} h ago"], days_ago: ["{0} дн тому", "{0} d ago"],

  close: ["Закрити", "Close"], cancel: ["Скасувати", "Cancel"], save: ["Зберегти", "Save"], send: ["Надіслати", "Send"],
  story: ["Повідомлення, нотатки й зміни", "Messages, notes and changes"], quiet: ["Тут ще нічого не сталося", "Nothing has happened here yet"],
  write_as: ["Від кого писати", "Who writes"], as_customer: ["Клієнт", "Customer"], as_manager: ["Менеджер", "Manager"], as_phone: ["Телефон", "Phone’s app"],
  which_manager: ["Хто з менеджерів", "Which manager"], chats_manager: ["Відповідальний за чат", "The chat’s own manager"], message: ["Повідомлення", "Message"],
  from_api: ["API", "API"], from_phone: ["сторінка магазину", "the shop’s page"], comment: ["публічний коментар", "public comment"],
  attached: ["Вкладень: {0}", "Attachments: {0}"], note_by: ["Нотатка · {0}", "Note · {0}"], tags: ["Теги", "Tags"], none: ["немає", "none"],

  add_chat: ["Чат", "Chat"], add: ["Додати", "Add"], add_title: ["Пише новий клієнт", "A new customer writes"], nickname: ["Нікнейм", "Nickname"], name: ["Ім’я", "Name"],
  first_message: ["Перше повідомлення", "First message"],

  faults: ["Збої", "Faults"], faults_title: ["Збої API", "Faults of the API"], faults_none: ["Зараз усе працює", "All works now"],
  fault_kind: ["Що станеться", "What happens"], fault_calls: ["З якими викликами", "To which calls"], fault_times: ["Скільки разів", "How many times"],
  until_cleared: ["доки не знято", "until cleared"], times_left: ["ще {0} ×", "{0} × left"],
  fault_arm: ["Увімкнути", "Arm"], faults_clear: ["Зняти всі", "Clear all"],
  calls_all: ["Усі", "All"], calls_list: ["Пошук чатів", "Listing chats"], calls_read: ["Читання чату", "Reading a chat"],
  calls_status: ["Зміна статусу", "Setting a status"], calls_assign: ["Призначення", "Assigning"], calls_messages: ["Повідомлення", "Messages"],
  calls_notes: ["Нотатки", "Notes"], calls_managers: ["Менеджери", "Managers"], calls_orders: ["Замовлення", "Orders"],

  webhook: ["Вебхук", "Webhook"], webhook_title: ["Вебхук: повідомлення в чаті", "Webhook: a message in a chat"],
  webhook_hint: ["Про кожне повідомлення пісочниця скаже за цією адресою. Лише на цьому комп’ютері.", "The sandbox tells this address of each message. On this machine only."],
  address: ["Адреса (порожня: нікому)", "Address (empty: nobody)"], shape: ["Вигляд", "Shape"], webhook_times: ["Скільки разів", "How many times"],
  webhook_delay: ["Запізнення, с", "Late by, s"], webhook_swapped: ["Парами навпаки", "Pairs swapped"], webhook_now: ["Надіслати зараз:", "Send now:"], webhook_empty: ["Порожній", "Empty"], saved: ["Збережено", "Saved"],

  log: ["Запити до API", "Calls to the API"], log_newest: ["Останні запити, найновіший угорі", "Last calls, the newest first"], log_total: ["усього {0}", "{0} in all"],
  log_none: ["Ще жодного запиту", "No calls yet"], no_answer: ["без відповіді", "no answer"], fault: ["збій: {0}", "fault: {0}"], to_card: ["До картки", "To the card"],
  told_list: ["Шукає чати", "Looks for chats"], told_read: ["Читає чат", "Reads a chat"], told_status: ["Статус → {0}", "Status → {0}"],
  told_assign: ["Відповідальний → {0}", "Responsible → {0}"], told_tags: ["Змінює теги", "Changes tags"], told_note: ["Додає нотатку", "Adds a note"],
  told_message: ["Пише клієнту", "Writes to the customer"], told_messages: ["Читає повідомлення", "Reads messages"], told_managers: ["Читає список менеджерів", "Lists managers"],
  told_order_new: ["Створює замовлення", "Makes an order"], told_orders: ["Шукає замовлення", "Looks for orders"], told_order: ["Читає замовлення", "Reads an order"],
  told_order_statuses: ["Читає статуси замовлень", "Lists order statuses"], told_order_status: ["Замовлення → {0}", "Order → {0}"],
  told_variations: ["Шукає товар за артикулом", "Looks for an item by its sku"], told_unknown: ["Невідомий запит", "Unknown call"],
  told_webhook: ["Вебхук: повідомлення", "Webhook: a message"], told_webhook_raw: ["Вебхук: {0}", "Webhook: {0}"], told_webhook_empty: ["Вебхук: порожній", "Webhook: empty"],
};

const LANGUAGES = ["uk", "en"], REMEMBERED = "sitniks-language";
let language = remembered() || navigator.languages.map(tag => tag.slice(0, 2)).find(tag => LANGUAGES.includes(tag)) || "en";

function remembered() {
  try { const found = localStorage.getItem(REMEMBERED); return LANGUAGES.includes(found) ? found : null; } catch { return null; }
}

/** A text in the page's language, with what fills its {0}, {1}. */
export function t(key, ...values) {
  return pick(WORDS[key]).replace(/\{(\d)\}/g, (_, at) => values[at]);
}

export function faultName(kind) { return FAULTS[kind] ? pick(FAULTS[kind]) : kind; }

function pick(pair) { return pair[LANGUAGES.indexOf(language)]; }

/** Puts the language's words into all that stands in index.html. */
export function label() {
  document.documentElement.lang = language;
  document.title = t("title");
  for (const node of document.querySelectorAll("*")) {
    for (const { name, value } of [...node.attributes]) {
      if (name === "data-t") node.textContent = t(value);
      else if (name.startsWith("data-t-")) node.setAttribute(name.slice(7), t(value));
    }
  }
}

export function switchLanguage() {
  language = language === "uk" ? "en" : "uk";
  try { localStorage.setItem(REMEMBERED, language); } catch { /* then it is asked for again */ }
  label();
}

export function clockTime(date) { return new Date(date).toLocaleTimeString(language, { hour12: false }); }
export function shortTime(date) { return new Date(date).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hour12: false }); }
export function day(date) { return new Date(date).toLocaleDateString(language, { day: "numeric", month: "short" }); }
export function fullTime(date) { return new Date(date).toLocaleString(language, { hour12: false }); }

export function money(amount) {
  const digits = Number.isInteger(Number(amount)) ? 0 : 2;
  return `${Number(amount).toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: 2 })} ₴`;
}

/** How long ago, of seconds. */
export function ago(seconds, date) {
  if (seconds < 10) return t("just_now");
  if (seconds < 60) return t("seconds_ago", Math.floor(seconds));
  if (seconds < 3600) return t("minutes_ago", Math.floor(seconds / 60));
  if (seconds < 86400) return t("hours_ago", Math.floor(seconds / 3600));
  if (seconds < 7 * 86400) return t("days_ago", Math.floor(seconds / 86400));
  return day(date);
}
