/** What became of one notification, as a timeline: when it was accepted, where it went, what each device did with it. */
import { path } from './api.js'
import { card } from './card.js'
import { button, element, field } from './dom.js'
import { find, link } from './find.js'
import { ago, at, span } from './format.js'
import { AT_A_DEVICE, goodness, ofDevice, TOGETHER } from './words.js'

/** @param {string[]} names */
export function notification([user, id]) {
  const search = find('notification', [
    field('User', 'user', { value: user, required: true, type: 'search' }),
    field('Cursor or id', 'id', { value: id, required: true, type: 'search' }),
  ], 'The cursor that a send was answered, which is known for longer, or the id, while it is in the inbox.')
  if (!user || !id) return { parts: [search] }
  const verdict = element('p', 'verdict')
  const line = element('ol', 'timeline')
  const it = card('Timeline', 'In the time of here; after each, how long after the acceptance. What the store does not keep is said to be unknown, and never guessed.', verdict, line)
  const look = () => it.attempt(async () => {
    const receipt = await it.ask('GET', path('/api/users/{user}/notifications/{id}', { user, id }))
    const presence = await it.ask('GET', path('/api/users/{user}/presence', { user }))
    verdict.replaceChildren(element('strong', goodness(receipt.status), receipt.status.replaceAll('_', ' ')), ` ${TOGETHER[/** @type {keyof TOGETHER} */ (receipt.status)] ?? ''}`)
    line.replaceChildren(...events(receipt, presence).map((event) => shown(event, receipt.accepted_at)))
  })
  it.root.append(element('div', 'actions', button('small', 'Look again', look), element('a', { href: link('user', user) }, `All of ${user}`)))
  void look()
  return { parts: [search, it.root] }
}

/** @typedef {{ at?: string | null, what: string, about: string, is?: string, code?: string }} Event */

/** What is known, in the order of its times; what has none stands where it belongs. @returns {Event[]} */
function events(receipt, { connections }) {
  const { accepted_at: accepted, expires_at: expires, cursor, id, devices } = receipt
  /** @param {string | null} device */
  const isHere = (device) => connections.some((/** @type {any} */ it) => it.device === device)
  const before = [
    { at: accepted, what: 'Accepted', is: 'good', code: cursor, about: accepted ? `As safe as the deployment is configured to be. ${id ? `Its id is ${id}.` : ''}` : 'When is not known: it has left the inbox.' },
    { at: accepted, what: 'Routed', is: 'good', about: 'In the same step: appending it and the hint to the gateways that hold the user are one function of the store. How many devices were connected then, the answer to the send told; it is not kept.' },
    { what: 'Written to sockets', about: 'When is not kept of each notification: carillon_gateway_delivery_latency_seconds of the gateways counts it of all, and a trace has it of one that is traced (docs/operations.md, Traces). An ack says that it was.' },
  ]
  const timed = devices.filter((/** @type {any} */ { at: when }) => when).sort((/** @type {any} */ one, /** @type {any} */ other) => one.at.localeCompare(other.at))
  const untimed = devices.filter((/** @type {any} */ { at: when }) => !when)
  const ofDevices = [...timed, ...untimed].map(({ device, status, at: when }) => ({
    at: when,
    what: `${status === 'delivered' ? 'Acked' : status.replaceAll('_', ' ')}: ${ofDevice(device)}`,
    is: goodness(status),
    about: `${AT_A_DEVICE[/** @type {keyof AT_A_DEVICE} */ (status)] ?? ''}${status === 'queued' ? isHere(device) ? '; it is connected now' : '; it is not connected now' : ''}`,
  }))
  const none = devices.length ? [] : [{ what: 'No device is known', about: 'Whoever comes first is given what no device has acked.' }]
  const end = expires && { at: expires, what: Date.parse(expires) > Date.now() ? 'Expires' : 'Expired', about: `${ago(expires)}; from then on it is delivered no more` }
  return [...before, ...ofDevices, ...none, ...end ? [end] : []]
}

/** @param {Event} event @param {string | null} accepted */
function shown({ at: when, what, about, is = '', code }, accepted) {
  const after = when && accepted && Date.parse(when) - Date.parse(accepted)
  return element('li', is, element('strong', '', what), ' ',
    when ? element('time', { datetime: when, title: when }, at(when, true)) : element('span', 'about', 'time not known'),
    after ? element('span', 'flag', `${after < 0 ? '−' : '+'}${span(Math.abs(after))}`) : '',
    code && element('code', '', ` ${code}`), element('p', 'about', about))
}
