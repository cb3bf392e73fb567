/** The calls that the console has made of late, each to be copied as curl. Bounded; the newest first. */
import { asCurl, onCall } from './api.js'
import { button, copy, element } from './dom.js'
import { span } from './format.js'

/** Calls that are kept. The same one again takes the place of itself. */
const MOST = 30

/** @param {HTMLElement} root */
export function showCalls(root) {
  const list = element('ol', 'calls')
  /** @type {Map<string, ReturnType<typeof line>>} */
  const lines = new Map()
  root.append(element('details', 'card', element('summary', '', 'Calls of this page'),
    element('p', 'about', 'Whatever is shown or done here is one of these. As curl, the key is in $CARILLON_KEY.'), list))
  onCall((call) => {
    const name = `${call.method} ${call.path}`
    const it = lines.get(name) ?? line(name)
    it.tell(call)
    // Back to the end of the map, which is the newest.
    lines.delete(name)
    lines.set(name, it)
    // Whoever is on its button stays there.
    if (!it.root.contains(document.activeElement)) list.prepend(it.root)
    if (lines.size <= MOST) return
    const [[oldest, { root: gone }]] = lines
    gone.remove()
    lines.delete(oldest)
  })
}

/** @param {string} name */
function line(name) {
  /** @type {import('./api.js').Call} */
  let last
  let times = 0
  const told = element('span', 'about')
  const curl = button('small', 'Copy', () => copy(asCurl(last), curl), { 'aria-label': `Copy as curl: ${name}` })
  const root = element('li', '', element('code', 'what', name), told, curl)
  return {
    root,
    /** @param {import('./api.js').Call} call */
    tell(call) {
      last = call
      times += 1
      told.textContent = `${call.status} in ${span(call.ms)}${times > 1 ? `, ${times} times` : ''}`
      root.classList.toggle('is-refused', typeof call.status !== 'number' || call.status >= 400)
    },
  }
}
