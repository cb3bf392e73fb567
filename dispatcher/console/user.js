/** A user: where they are connected, how far their devices have come, what is in the inbox; sending, closing, revoking. */
import { path } from './api.js'
import { ask } from './ask.js'
import { card, done } from './card.js'
import { button, element, field } from './dom.js'
import { find } from './find.js'
import { ago, at, count, number } from './format.js'
import { inbox } from './inbox.js'
import { send } from './send.js'
import { table } from './table.js'
import { ofDevice } from './words.js'

/** What clients do then, by close code. */
const CODES = [
  ['4203', '4203: come back at once'], ['4201', '4201: come back at once, with a new token'], ['4200', '4200: come back at once, as in a drain'],
  ['4100', '4100: come back with a pause'], ['4001', '4001: stay away, not authenticated'], ['4003', '4003: stay away, forbidden'],
]

/** @param {string[]} names */
export function user([name]) {
  const search = find('user', [field('User', 'user', { value: name, required: true, type: 'search' })],
    'By the whole name, as the tokens’ sub has it. Users are not listed: there may be millions.')
  if (!name) return { parts: [search] }
  const shown = inbox(name)
  const parts = [presence(name), devices(name), shown, send(name, shown.newest)]
  return { parts: [search, ...parts.map((part) => part.root)] }
}

/** @param {string} name */
function presence(name) {
  const rows = table('Connections', [
    { name: 'Session', of: ({ session }) => session },
    { name: 'Device', about: 'As the client names itself; connections without a name share one position.', of: ({ device }) => ofDevice(device) },
    { name: 'Gateway', of: ({ gateway }) => gateway },
    { name: 'Open for', about: 'Since the connection was registered.', of: ({ since }) => element('time', { datetime: since, title: at(since) }, ago(since)) },
    { name: 'What to do', unseen: true, once: true, of: ({ session }) => button('small', 'Disconnect', () => disconnect(session), { 'aria-label': `Disconnect the session ${session}` }) },
  ], 'Nobody of that name is connected. That is no error: any name could be a user’s.')
  const result = element('div', '')
  const it = card('Connections', 'On gateways whose lease holds. What a killed gateway held counts until it is reaped, about 16 s.', result, rows.root,
    element('div', 'actions', button('small', 'Look again', () => look()), button('small', 'Disconnect all', () => disconnect()), button('small', 'Revoke tokens', revoke)))

  const look = () => it.attempt(async () => {
    const { connections } = await it.ask('GET', path('/api/users/{user}/presence', { user: name }))
    rows.show(connections, ({ session, gateway }) => `${session} ${gateway}`)
  })

  /** @param {string} [session] */
  async function disconnect(session) {
    const code = element('select', { name: 'code' }, ...CODES.map(([value, text]) => element('option', { value }, text)))
    const wanted = await ask(session ? `Disconnect the session ${session}?` : `Disconnect ${name} everywhere?`, [
      'The connections are closed within two seconds. Nothing is lost, and nobody is kept out: a client whose token is good may come back.',
    ], 'Disconnect', element('label', 'field', element('span', '', 'Close code: what clients do then'), code),
    field('Reason that clients are told (optional)', 'reason', { maxlength: 123 }))
    if (!wanted) return
    await it.attempt(async () => {
      const body = { ...session && { session }, code: Number(wanted.code), ...wanted.reason && { reason: wanted.reason } }
      const { message } = await it.ask('POST', path('/api/users/{user}/disconnect', { user: name }), { body })
      result.replaceChildren(done(message))
    })
  }

  async function revoke() {
    const wanted = await ask(`Revoke the tokens of ${name}?`, [
      'Every token issued to this user until now is refused by every gateway, and what they opened is closed. A token that your login signs from now on is good.',
    ], 'Revoke', field('Reason, for those who look later (optional)', 'reason', { maxlength: 255 }))
    if (!wanted) return
    await it.attempt(async () => {
      const { message, revocation } = await it.ask('POST', '/api/tokens/revoke', { body: { user: name, ...wanted.reason && { reason: wanted.reason } } })
      result.replaceChildren(done(`${message}; until ${at(revocation.lapses_at)}`))
    })
  }

  void look()
  return it
}

/** @param {string} name */
function devices(name) {
  const rows = table('Devices', [
    { name: 'Device', about: 'All connections that gave no name are one.', of: ({ device }) => ofDevice(device) },
    { name: 'Cursor', about: 'The position that it has come to: it has acked everything up to here, or began here.', of: ({ cursor }) => element('code', '', cursor ?? 'before the first') },
    { name: 'Behind', number: true, about: 'Positions of the inbox after that, with those that expired or were taken back: at most so many notifications wait for it.', of: ({ behind }) => (behind === null ? 'all there are' : number(behind)) },
    { name: 'Last ack', about: 'When its acks last moved it on.', of: ({ acked_at: acked }) => (acked ? element('time', { datetime: acked, title: at(acked, true) }, ago(acked)) : 'not known') },
  ], 'No device is known: nobody of that name has connected, as far back as is remembered.')
  const told = element('p', 'about')
  const it = card('Devices', 'Those that the store knows, connected or not, and how far each has come.', rows.root, told,
    element('div', 'actions', button('small', 'Look again', () => look())))
  const look = () => it.attempt(async () => {
    const { last, devices: all } = await it.ask('GET', path('/api/users/{user}/devices', { user: name }))
    rows.show(all, ({ device }) => device ?? '')
    told.textContent = last ? `The inbox ends at ${last}. ${count(all.length, 'device')}.` : 'Nothing was ever sent to this user.'
  })
  void look()
  return it
}
