/** The deployment at a glance: how many are there, the gateways, the store and this process, what is to be mended. */
import { card } from './card.js'
import { element } from './dom.js'
import { count } from './format.js'
import { gateways } from './gateways.js'
import { health } from './health.js'
import { findings } from './findings.js'
import { poll } from './poll.js'

/** How often what changes is looked at. */
const EVERY = 5_000

export function overview() {
  const now = glance()
  const parts = [gateways(now.tell), health(now.tell), findings(now.tell)]
  const end = poll(() => Promise.all([now.look(), ...parts.map((part) => part.look?.())]), EVERY)
  return { parts: [now.root, ...parts.map((part) => part.root)], close: end }
}

/** The few numbers that come first. */
function glance() {
  const told = element('dl', 'glance')
  const it = card('Now', 'Looked at every five seconds, while this page is seen.', told)
  /** @type {Map<string, HTMLElement>} */
  const shown = new Map()
  /** @param {string} name @param {string} value @param {string} meaning @param {'good' | 'busy' | 'bad' | ''} [is] */
  const tell = (name, value, meaning, is = '') => {
    let dd = shown.get(name)
    if (!dd) {
      dd = element('dd', '')
      shown.set(name, dd)
      told.append(element('div', '', element('dt', '', name), dd, element('dd', 'about', meaning)))
    }
    dd.textContent = value
    dd.className = is
    if (dd.nextElementSibling) dd.nextElementSibling.textContent = meaning
  }
  // In the order in which they are to be read.
  for (const name of ['Users online', 'Connections', 'Gateways', 'This process', 'Store', 'Checks']) tell(name, '…', '')
  return {
    root: it.root,
    tell,
    look: () => it.attempt(async () => {
      const { online_count: online } = await it.ask('GET', '/api/notifications/online-count')
      tell('Users online', count(online, 'user'), 'with at least one connection, on all gateways; up to a second old')
    }),
  }
}

