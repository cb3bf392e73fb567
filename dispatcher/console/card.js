/** A part of a view: a title, what it is about, what went wrong in it, and its calls as curl. */
import { asCurl, call } from './api.js'
import { button, copy, element } from './dom.js'

let cards = 0

/**
 * @param {string} title
 * @param {string} about
 * @param {...(Node | null)} content
 */
export function card(title, about, ...content) {
  const id = `card-${++cards}`
  /** @type {import('./api.js').Call[]} */
  let calls = []
  const curl = button('small', 'Copy as curl', () => copy(calls.map(asCurl).join('\n'), curl), {
    'aria-label': `Copy as curl: ${title}`, hidden: true,
  })
  const told = element('div', 'told')
  const root = element('section', { class: 'card', 'aria-labelledby': id },
    element('div', 'bar', element('h2', { id }, title), curl), about && element('p', 'about', about), told, ...content)

  return {
    root,

    /** Does it, and says below the title what went wrong. @param {() => Promise<unknown> | unknown} work */
    async attempt(work) {
      calls = []
      root.setAttribute('aria-busy', 'true')
      try {
        await work()
        told.replaceChildren()
      } catch (error) {
        told.replaceChildren(problem(error))
      } finally {
        root.removeAttribute('aria-busy')
      }
    },

    /** Calls, and notes the call. @param {string} method @param {string} path @param {any} [how] */
    async ask(method, path, how) {
      const note = (/** @type {import('./api.js').Call} */ it) => {
        calls.push(it)
        curl.hidden = false
      }
      try {
        const { call: it, answer } = await call(method, path, how)
        note(it)
        return answer
      } catch (error) {
        if (/** @type {any} */ (error).call) note(/** @type {any} */ (error).call)
        throw error
      }
    },
  }
}

/** What went wrong, and the way to its remedy. @param {any} error */
export function problem(error) {
  const { title, detail, type, errors, retryable, after, request_id: request } = error.problem ?? { title: 'The console failed', detail: `${error}` }
  const explained = type?.startsWith('/') && element('a', { href: type, target: '_blank', rel: 'noreferrer' }, 'What it means, and the remedy')
  const fields = (errors ?? []).map(({ pointer, detail: wrong }) => element('li', '', element('code', '', pointer || '(all)'), ` ${wrong}`))
  return element('div', { class: 'alert', role: 'alert' },
    element('strong', '', title), detail && element('p', '', detail),
    fields.length > 0 && element('ul', 'fields', ...fields),
    element('p', 'about', retryable ? `It may be tried again${after ? ` after ${after} s` : ''}. ` : '', explained,
      request ? ` Request ${request} in the log.` : ''))
}

/** What was done, told once. @param {string} text @param {...Node} more */
export const done = (text, ...more) => element('p', { class: 'done', role: 'status' }, text, ...more)
