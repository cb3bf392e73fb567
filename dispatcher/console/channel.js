/** Channels: those that are followed, who is on one, what was published to it. */
import { path } from './api.js'
import { card } from './card.js'
import { button, element, field, form } from './dom.js'
import { find, link } from './find.js'
import { ago, at, count } from './format.js'
import { content } from './inbox.js'
import { publish } from './send.js'
import { table } from './table.js'
import { ofDevice } from './words.js'

const PAGE = 50

/** @param {string[]} names */
export function channel([name]) {
  const search = find('channel', [field('Channel', 'channel', { value: name, required: true, type: 'search' })],
    'By its whole name, also one that nobody follows now: its history may be kept.')
  if (!name) return { parts: [search, followed().root, publish(undefined, () => {}).root] }
  const log = history(name)
  return { parts: [search, members(name).root, log.root, publish(name, log.first).root] }
}

/** A table that is read a page at a time, each after the last row of the one before. */
function paged(it, show) {
  /** @type {string | null} */
  let next = null
  const more = button('small', 'Next page', () => page(next))
  const first = button('small', 'First page', () => page(null))
  /** @param {string | null} after */
  const page = (after) => it.attempt(async () => {
    next = await show(after)
    more.disabled = !next
    first.textContent = after ? 'First page' : 'Look again'
  })
  it.root.append(element('div', 'actions', first, more))
  return () => page(null)
}

function followed() {
  let prefix = ''
  const rows = table('Followed channels', [
    { name: 'Channel', of: ({ name }) => element('a', { href: link('channel', name) }, name) },
    { name: 'What to do', unseen: true, of: ({ name }) => element('a', { href: link('tail', 'channel', name), 'aria-label': `Tail of ${name}` }, 'Tail') },
  ], 'Nobody follows a channel whose name begins so.')
  const it = card('Followed now', `Channels that a client is on, or was a moment ago; by name, ${PAGE} a page, up to a second old.`,
    form('controls', (values) => {
      prefix = values.prefix.trim()
      return look()
    }, field('Name begins with', 'prefix', { type: 'search' }), element('button', {}, 'Look')), rows.root)
  const look = paged(it, async (after) => {
    const { channels, next } = await it.ask('GET', path('/api/channels', {}, { prefix, limit: PAGE, after }))
    rows.show(channels, ({ name }) => name)
    return next
  })
  void look()
  return it
}

/** @param {string} name */
function members(name) {
  const told = element('p', 'about')
  const rows = table('Members', [
    { name: 'User', of: ({ user }) => element('a', { href: link('user', user) }, user) },
    { name: 'Connections', about: 'Those of the user that are on the channel: device and gateway of each.', of: ({ connections }) => connections.map((/** @type {any} */ { device, gateway }) => `${ofDevice(device)} at ${gateway}`).join(', ') },
  ], 'Nobody is on the channel.')
  const it = card('Members', `Users on the channel now, by name, ${PAGE} a page. Nothing of it is stored: every gateway is asked, and has a second to answer.`, told, rows.root)
  void paged(it, async (after) => {
    const { users, connections, next, gateways: { asked, answered } } = await it.ask('GET', path('/api/channels/{channel}/presence', { channel: name }, { limit: PAGE, after }))
    rows.show(users, ({ user }) => user)
    const missing = asked - answered
    told.textContent = `${count(connections, 'connection')} on the channel, as ${answered} of ${count(asked, 'gateway')} say.${missing ? ` ${missing} did not answer: whoever is there is missing.` : ''}`
    return next
  })()
  return it
}

/** @param {string} name */
function history(name) {
  const told = element('p', 'about')
  const rows = table('History', [
    { name: 'Accepted', about: 'When the store accepted it, in the time of here.', of: ({ stored_at: stored }) => element('time', { datetime: stored, title: stored }, at(stored)) },
    { name: 'Type', of: ({ type }) => type },
    { name: 'Content', once: true, of: content },
    { name: 'Expires', about: 'From then on it is delivered no more.', of: ({ expires_at: expires }) => element('time', { datetime: expires, title: at(expires) }, ago(expires)) },
  ], 'Nothing is kept.')
  const it = card('History', `What was published and is kept, the oldest first, ${PAGE} a page.`, told, rows.root)
  const first = paged(it, async (after) => {
    const { notifications, next, more, gap } = await it.ask('GET', path('/api/channels/{channel}/history', { channel: name }, { limit: PAGE, after }))
    rows.show(notifications, ({ cursor }) => cursor)
    told.replaceChildren(gap ? `Something before this page is missing (${gap}). ` : '', element('a', { href: link('tail', 'channel', name) }, 'Follow it live'))
    return more ? next : null
  })
  void first()
  return { root: it.root, first }
}
