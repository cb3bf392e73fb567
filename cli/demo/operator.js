/** The gateways, as an operator sees them. */
import { drain, gateways } from './actions.js'
import { show } from './code.js'
import { attempt, byId, element } from './dom.js'
import { note } from './log.js'

/** How often they are looked at, while somebody looks. */
const EVERY = 1_000
/** The page's own; the one at the public port is left alone. */
const OWN = 'page-'

const table = byId('gateways')
/** @type {Map<string, HTMLTableRowElement>} */
const rows = new Map()

/** @param {string} id */
export async function drains(id) {
  show('drain')
  await drain(id)
  note('service', 'call', 'drain', `${id} is asked to drain`)
  await look()
}

/** Shows what there is now. */
async function look() {
  const all = (await gateways()).filter(({ id }) => id.startsWith(OWN))
  for (const gateway of all) row(gateway)
  for (const [id, it] of rows) {
    if (all.some((gateway) => gateway.id === id)) continue
    it.remove()
    rows.delete(id)
  }
}

/** A row that stays the same element, so that the focus stays where it is. */
function row({ id, users, draining }) {
  let it = rows.get(id)
  if (!it) {
    const name = element('th', '', id)
    name.setAttribute('scope', 'row')
    const button = element('button', 'small', 'Drain')
    button.setAttribute('aria-label', `Drain ${id}`)
    button.addEventListener('click', () => attempt(() => drains(id)))
    it = element('tr', '', name, element('td', 'users'), element('td', 'is'), element('td', 'do', button))
    rows.set(id, it)
    table.append(it)
  }
  it.classList.toggle('is-draining', draining)
  const [, count, state] = it.cells
  count.textContent = `${users}`
  state.textContent = draining ? 'draining' : 'ready'
  it.querySelector('button').disabled = draining
}

/** Looks again and again, while the page is seen. */
export async function watch() {
  // A server that is away is told of by the connections.
  if (document.visibilityState === 'visible') await look().catch(() => {})
  setTimeout(watch, EVERY)
}
