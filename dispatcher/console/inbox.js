/** A user's inbox, a page at a time. */
import { path } from './api.js'
import { ask } from './ask.js'
import { card, done } from './card.js'
import { button, element, field, form } from './dom.js'
import { link } from './find.js'
import { ago, at, short } from './format.js'
import { table } from './table.js'

const PAGE = 25

/** @param {string} name */
export function inbox(name) {
  let type = ''
  let order = 'newest'
  /** @type {string | null} */
  let next = null
  const rows = table('Inbox', [
    { name: 'Accepted', about: 'When the store accepted it, in the time of here.', of: ({ stored_at: stored }) => element('time', { datetime: stored, title: stored }, at(stored)) },
    { name: 'Type', of: ({ type: kind }) => kind },
    { name: 'Content', once: true, of: content },
    { name: 'Expires', about: 'From then on it is delivered no more.', of: ({ expires_at: expires }) => element('time', { datetime: expires, title: at(expires) }, ago(expires)) },
    { name: 'What to do', unseen: true, once: true, of: ({ cursor }) => element('span', 'pair',
      element('a', { href: link('notification', name, cursor), 'aria-label': `Trace ${cursor}` }, 'Trace'),
      button('small', 'Retract', () => retract(cursor), { 'aria-label': `Retract ${cursor}` })) },
  ], 'Nothing is kept.')
  const result = element('div', '')
  const more = button('small', 'Next page', () => page(next))
  const first = button('small', 'First page', () => page(null))
  const choice = element('select', { name: 'order' }, element('option', { value: 'newest' }, 'newest first'), element('option', { value: 'oldest' }, 'oldest first'))
  const it = card('Inbox', `What may still be delivered, and the newest that every device has acked; ${PAGE} a page. Looking acks nothing.`,
    form('controls', (values) => {
      ({ type, order } = values)
      return page(null)
    }, field('Type (optional)', 'type', { type: 'search' }), element('label', 'field', element('span', '', 'Order'), choice), element('button', {}, 'Look')),
    result, rows.root, element('div', 'actions', first, more))

  /** @param {string | null} after */
  const page = (after) => it.attempt(async () => {
    const answer = await it.ask('GET', path('/api/users/{user}/notifications', { user: name }, { limit: PAGE, order, type, after }))
    rows.show(answer.notifications, ({ cursor }) => cursor)
    next = answer.next
    more.disabled = !next
    first.disabled = !after
  })

  /** @param {string} cursor */
  async function retract(cursor) {
    if (!await ask(`Take ${cursor} back?`, ['Whoever has not been given it is not given it any more; connected devices that may show it are told.'], 'Retract')) return
    await it.attempt(async () => {
      const { outcome } = await it.ask('DELETE', path('/api/users/{user}/notifications/{id}', { user: name, id: cursor }))
      result.replaceChildren(done(outcome === 'left' ? 'It had left before: taken back, replaced or expired.' : 'It is delivered no more.'))
    })
    await page(null)
  }

  void page(null)
  return { root: it.root, newest: () => page(null) }
}

/** What a notification says; all of it where one looks closer. @param {any} row */
export function content({ content: text, data, id, cursor, channel }) {
  const all = JSON.stringify({ id, cursor, channel, content: text, data }, null, 2)
  return element('details', 'whole', element('summary', '', short(text || '(no text)', 80)), element('pre', { tabindex: '0' }, all))
}
