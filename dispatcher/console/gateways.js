/** The gateways: who is where, draining one, evening them out. */
import { card, done } from './card.js'
import { ask } from './ask.js'
import { button, element, field } from './dom.js'
import { ago, at, count, number } from './format.js'
import { path } from './api.js'
import { table } from './table.js'

/** Rows that are shown; the others are found by name. */
const MOST = 100
/** Above the mean by less than this, a gateway is left alone. */
const TOLERATED = 1.1

/** @typedef {{ id: string, generation: number, users: number, draining: boolean, accepting: boolean, pod: string | null, connections: number | null, version: string | null }} Gateway */

/** @param {(name: string, value: string, meaning: string, is?: any) => void} tell */
export function gateways(tell) {
  /** @type {Gateway[]} */
  let all = []
  const filter = field('Name begins with', 'gateway', { type: 'search' })
  const order = element('select', { name: 'order' }, element('option', { value: 'name' }, 'name'), element('option', { value: 'users' }, 'most users first'))
  const told = element('p', 'about')
  const result = element('div', '')
  const rows = table('Gateways', [
    { name: 'Gateway', about: 'Its name; on Kubernetes the last two parts of its pod’s.', of: ({ id, pod }) => pod ?? id },
    { name: 'Users', number: true, about: 'Distinct users with a connection there: one with two tabs counts once. What rebalancing goes by.', of: ({ users }) => number(users) },
    { name: 'Connections', number: true, about: 'Open sockets and event streams, as the gateway told with its lease, some seconds ago. Not told in its first moment, and by older releases.', of: ({ connections }) => (connections === null ? 'not told' : number(connections)) },
    { name: 'State', about: 'ready: takes clients. draining: moves its users elsewhere; for a while it still lets clients in, until load balancers have heard of it. empty: done, and may be ended.', of: state },
    { name: 'Lease since', about: 'When it took its lease: since then it runs without a break. A later time than its start: it had lost the lease.', of: ({ generation }) => element('time', { datetime: new Date(generation).toISOString(), title: at(generation) }, ago(generation)) },
    { name: 'Release', about: 'The version that it runs, as it told.', of: ({ version }) => version ?? 'not told' },
    { name: 'What to do', unseen: true, once: true, of: (gateway) => {
      const it = button('small', 'Drain', () => drain(gateway.id), { 'aria-label': `Drain ${gateway.id}` })
      it.dataset.drain = gateway.id
      return it
    } },
  ], 'No gateway: no lease holds. Clients cannot connect anywhere.')

  const even = button('small', 'Rebalance', rebalance)
  const it = card('Gateways', 'Those whose lease holds. Draining and rebalancing move clients, and lose nothing.',
    element('div', 'controls', filter, element('label', 'field', element('span', '', 'Order'), order), even), result, rows.root, told)
  filter.addEventListener('input', show)
  order.addEventListener('change', show)

  function show() {
    const begins = filter.querySelector('input').value.trim()
    const found = all.filter(({ id, pod }) => id.startsWith(begins) || pod?.startsWith(begins))
    if (order.value === 'users') found.sort((one, other) => other.users - one.users)
    rows.show(found.slice(0, MOST), ({ id }) => id)
    for (const one of rows.body.querySelectorAll('[data-drain]')) {
      one.disabled = all.some(({ id, draining }) => id === one.dataset.drain && draining)
    }
    told.textContent = found.length > MOST ? `${MOST} of ${number(found.length)} are shown; type the beginning of a name.` : ''
  }

  /** @param {string} id */
  async function drain(id) {
    const { users } = all.find((one) => one.id === id) ?? { users: 0 }
    const sure = await ask(`Drain ${id}?`, [
      `Its ${count(users, 'user')} are asked to connect elsewhere, and its connections are closed evenly over drain.window. Nothing is lost: what is not acked is given again.`,
      'It is not ready any more, and takes no new clients. There is no way back but a restart of that gateway.',
    ], 'Drain')
    if (!sure) return
    await it.attempt(async () => {
      const { message } = await it.ask('POST', path('/api/gateways/{id}/drain', { id }))
      result.replaceChildren(done(message))
    })
  }

  async function rebalance() {
    const those = all.filter(({ draining }) => !draining)
    const mean = Math.ceil(those.reduce((sum, { users }) => sum + users, 0) / Math.max(those.length, 1))
    const above = those.filter(({ users }) => users > mean * TOLERATED)
    const moving = above.reduce((sum, { users }) => sum + users - mean, 0)
    const sure = await ask('Rebalance?', [
      above.length ? `As of now about ${count(moving, 'user')} of ${count(above.length, 'gateway')} would be asked to move, so that none has more than the mean of ${count(mean, 'user')}.`
        : `As of now nobody would be asked to move: no gateway has more than a tenth above the mean of ${count(mean, 'user')}.`,
      'Those who connected the longest ago move, over drain.window. The gateways stay ready.',
    ], 'Rebalance')
    if (!sure) return
    await it.attempt(async () => {
      const { message } = await it.ask('POST', '/api/gateways/rebalance')
      result.replaceChildren(done(message))
    })
  }

  return {
    root: it.root,
    look: () => it.attempt(async () => {
      all = (await it.ask('GET', '/api/gateways')).gateways
      const draining = all.filter((one) => one.draining).length
      const connections = all.reduce((sum, one) => sum + (one.connections ?? 0), 0)
      tell('Connections', count(connections, 'connection'), 'of these gateways, as they told some seconds ago')
      tell('Gateways', number(all.length), draining ? `whose lease holds; ${number(draining)} of them drain` : 'whose lease holds; none drains',
        all.length ? draining ? 'busy' : 'good' : 'bad')
      show()
    }),
  }
}

/** @param {Gateway} gateway */
function state({ draining, accepting, users }) {
  if (!draining) return element('span', 'good', 'ready')
  const is = accepting ? 'draining, still lets clients in' : users ? 'draining' : 'empty'
  return element('span', 'busy', is)
}
