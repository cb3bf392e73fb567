/** Elements. Texts are only ever set as texts. */

/** @param {string} id */
export const byId = (id) => /** @type {any} */ (document.getElementById(id))

/**
 * @param {string} name
 * @param {string | Record<string, any>} about Its class, or attributes by name; a function listens to that event.
 * @param {...(string | Node | null | undefined | false)} content
 */
export function element(name, about, ...content) {
  const it = document.createElement(name)
  const attributes = typeof about === 'string' ? { class: about } : about
  for (const [attribute, value] of Object.entries(attributes)) {
    if (typeof value === 'function') it.addEventListener(attribute, value)
    else if (value === true) it.setAttribute(attribute, '')
    else if (value !== false && value !== undefined && value !== '') it.setAttribute(attribute, value)
  }
  it.append(...content.filter((part) => part !== null && part !== undefined && part !== false))
  return /** @type {any} */ (it)
}

/**
 * A button that does something, and nothing more while it does. It keeps the focus meanwhile.
 * @param {string} kind
 * @param {string} text
 * @param {() => unknown} work
 * @param {Record<string, any>} [more]
 */
export function button(kind, text, work, more = {}) {
  const it = element('button', {
    type: 'button',
    class: kind,
    async click() {
      if (it.ariaBusy === 'true') return
      it.ariaBusy = 'true'
      try { await work() } finally { it.ariaBusy = null }
    },
    ...more,
  }, text)
  return it
}

let hints = 0

/**
 * A field with its name above it.
 * @param {string} title
 * @param {string} name
 * @param {Record<string, any>} [more] Attributes of the input; `about` is a line below it.
 */
export function field(title, name, { about, ...more } = {}) {
  const hint = about && element('small', { id: `hint-${++hints}` }, about)
  const input = element(more.rows ? 'textarea' : 'input', { name, autocomplete: 'off', spellcheck: 'false', 'aria-describedby': hint && hint.id, ...more })
  return element('div', 'field', element('label', '', element('span', '', title), input), hint)
}

/**
 * A form that is answered here.
 * @param {string} kind
 * @param {(values: Record<string, string>) => unknown} work
 * @param {...Node} content
 */
export function form(kind, work, ...content) {
  const it = element('form', {
    class: kind,
    async submit(/** @type {SubmitEvent} */ event) {
      event.preventDefault()
      if (it.dataset.busy) return
      it.dataset.busy = 'yes'
      try {
        await work(Object.fromEntries(/** @type {any} */ (new FormData(it))))
      } finally {
        delete it.dataset.busy
      }
    },
  }, ...content)
  return it
}

/** @param {string} text Which is on the clipboard then. @param {HTMLElement} button Which says so. */
export async function copy(text, button) {
  await navigator.clipboard.writeText(text)
  const before = button.dataset.text ??= button.textContent ?? ''
  button.textContent = 'Copied'
  setTimeout(() => { button.textContent = before }, 2_000)
}
