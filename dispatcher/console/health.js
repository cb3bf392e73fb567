/** How this process is, and what it sees of the store: from its /readyz and /metrics, without a key. */
import { card } from './card.js'
import { element } from './dom.js'
import { number, size, span } from './format.js'
import { mean, read } from './metrics.js'
import { table } from './table.js'

const seconds = (/** @type {number | undefined} */ value) => (value === undefined ? 'none since' : span(value * 1_000))

/**
 * What is shown of the metrics: a name for people, the metric, whose own description is its meaning, and how it is read.
 * @type {[name: string, metric: string, how: 'up' | 'mean' | 'grown' | 'seconds' | 'bytes' | 'number'][]}
 */
const SHOWN = [
  ['Store is reached', 'carillon_redis_up', 'up'],
  ['A call to the store', 'carillon_redis_call_duration_seconds', 'mean'],
  ['Calls that failed', 'carillon_redis_errors_total', 'grown'],
  ['Lag of the bus', 'carillon_redis_bus_lag_seconds', 'mean'],
  ['Doubts about the bus', 'carillon_redis_bus_doubts_total', 'grown'],
  ['Lost histories', 'carillon_redis_histories_rewound_total', 'number'],
  ['The store’s clock', 'carillon_redis_clock_offset_seconds', 'seconds'],
  ['Notifications in memory', 'carillon_memory_store_bytes', 'bytes'],
  ['Users in memory', 'carillon_memory_store_users', 'number'],
  ['A send', 'carillon_dispatcher_send_duration_seconds', 'mean'],
  ['Requests under way', 'carillon_dispatcher_http_requests_in_flight', 'number'],
  ['Connections here', 'carillon_gateway_connections', 'number'],
  ['Memory of the process', 'process_resident_memory_bytes', 'bytes'],
]

/** @param {(name: string, value: string, meaning: string, is?: any) => void} tell */
export function health(tell) {
  const rows = table('Numbers of this process', [
    { name: 'What', of: ({ name }) => name },
    { name: 'Value', number: true, of: ({ value }) => value },
    { name: 'What it means', of: ({ meaning, metric }) => element('span', 'about', meaning, ' ', element('code', '', metric)) },
  ], 'Nothing was read yet.')
  const degraded = element('ul', 'findings')
  const it = card('The store, and this process', 'As the process sees it that serves this page. Means are of the time since the look before.', degraded, rows.root)
  /** @type {import('./metrics.js').Metrics | undefined} */
  let before

  return {
    root: it.root,
    look: () => it.attempt(async () => {
      const ready = await it.ask('GET', '/readyz?verbose', { open: true, any: true })
      degraded.replaceChildren(...ready.degraded.map((/** @type {any} */ { what, detail }) => element('li', 'is-warning', element('strong', '', what), ` ${detail}`)))
      tell('This process', ready.status, ready.degraded.length ? 'it serves, but something is wrong: see below' : 'as /readyz has it',
        ready.status === 'ready' ? 'good' : 'busy')
      const now = read(await it.ask('GET', '/metrics', { open: true }))
      const shown = SHOWN.filter(([, metric]) => now.meanings.has(metric) && !(metric === 'carillon_gateway_connections' && !now.values.get('carillon_gateway_connections_limit')))
      rows.show(shown.map(([name, metric, how]) => ({ name, metric, meaning: now.meanings.get(metric), value: value(metric, how, now, before) })), ({ metric }) => metric)
      before = now
      const up = now.values.get('carillon_redis_up')
      if (up === undefined) tell('Store', 'in memory', 'everything ends with the process')
      else tell('Store', up ? 'up' : 'away', up ? `a call took ${seconds(mean('carillon_redis_call_duration_seconds', now, undefined))} on average, since this process began` : 'the last call was not answered', up ? 'good' : 'bad')
    }),
  }
}

/** @param {string} metric @param {string} how @param {import('./metrics.js').Metrics} now @param {import('./metrics.js').Metrics | undefined} before */
function value(metric, how, now, before) {
  const is = now.values.get(metric) ?? 0
  switch (how) {
    case 'up': return is ? 'yes' : 'no'
    case 'mean': return seconds(mean(metric, now, before))
    case 'grown': return before ? `${number(is - (before.values.get(metric) ?? 0))} since, ${number(is)} in all` : `${number(is)} in all`
    case 'seconds': return `${number(is * 1_000)} ms`
    case 'bytes': return size(is)
    default: return number(is)
  }
}
