/** A live tail of a user's inbox or of a channel's log: their pages, asked for again and again from where the last ended. */
import { path } from './api.js'
import { card } from './card.js'
import { button, element, field, form } from './dom.js'
import { find, link } from './find.js'
import { at, number } from './format.js'
import { content } from './inbox.js'
import { poll } from './poll.js'
import { table } from './table.js'

/** How often it is asked, and how many rows are kept. */
const EVERY = 1_000
const MOST = 200
/** Rows of one question; of a channel, which is read from its oldest on, so many are passed over at once. */
const PAGE = 200

/** @param {string[]} names */
export function tail([kind, name]) {
  const what = element('select', { name: 'kind' }, element('option', { value: 'user', selected: kind !== 'channel' }, 'the inbox of a user'), element('option', { value: 'channel', selected: kind === 'channel' }, 'a channel'))
  const search = find('tail', [element('label', 'field', element('span', '', 'Of'), what), field('Name', 'name', { value: name, required: true, type: 'search' })],
    'What is accepted from now on, whether or not anybody is connected; but what is stored nowhere (ttl 0) is not seen. Looking acks nothing.')
  if (!name) return { parts: [search] }
  const isUser = kind !== 'channel'
  const read = isUser ? ofUser : ofChannel
  /** @type {any[]} */
  let rows = []
  let dropped = 0
  let isPaused = false
  let begins = ''
  const shown = table('Notifications', [
    { name: 'Accepted', about: 'When the store accepted it, in the time of here.', of: ({ stored_at: stored }) => element('time', { datetime: stored, title: stored }, at(stored, true)) },
    { name: 'Type', of: ({ type }) => type },
    { name: 'Content', once: true, of: content },
    { name: 'Cursor', once: true, of: ({ cursor }) => (isUser ? element('a', { href: link('notification', name, cursor) }, cursor) : element('code', '', cursor)) },
  ], 'Nothing was accepted since.')
  const told = element('p', { class: 'about', role: 'status' })
  const pause = button('small', 'Pause', () => {
    isPaused = !isPaused
    pause.textContent = isPaused ? 'Go on' : 'Pause'
    tell()
  })
  const clear = button('small', 'Clear', () => {
    rows = []
    dropped = 0
    show()
  })
  const filter = form('controls', () => {}, field('Type begins with', 'type', { type: 'search' }))
  filter.addEventListener('input', () => {
    begins = filter.querySelector('input').value.trim()
    show()
  })
  const it = card(`Tail of ${isUser ? name : `#${name}`}`, `Asked every second while this page is seen; the newest first, ${MOST} at most.`,
    filter, element('div', 'actions', pause, clear), told, shown.root)

  const tell = () => {
    const state = isPaused ? 'Paused: what comes meanwhile is read when it goes on.' : 'It follows.'
    told.textContent = `${state}${dropped ? ` ${number(dropped)} older rows are no longer kept.` : ''}`
  }
  const show = () => {
    shown.show(rows.filter(({ type }) => type.startsWith(begins)), ({ cursor, gap }) => cursor ?? gap)
    tell()
  }

  /** @type {string | null | undefined} Where the last page ended; nothing yet, or null for an empty log. */
  let position
  const end = poll(async () => {
    if (isPaused) return
    await it.attempt(async () => {
      const { news, next } = await read(it, name, position)
      position = next
      rows = [...news.reverse(), ...rows]
      dropped += Math.max(rows.length - MOST, 0)
      rows.length = Math.min(rows.length, MOST)
      show()
    })
  }, EVERY)
  return { parts: [search, it.root], close: end }
}

/** What came to an inbox after a position, and where that ends. */
async function ofUser(it, user, position) {
  const ask = (/** @type {any} */ query) => it.ask('GET', path('/api/users/{user}/notifications', { user }, query))
  if (position === undefined) {
    const { notifications: [newest] } = await ask({ order: 'newest', limit: 1 })
    return { news: [], next: newest?.cursor ?? null }
  }
  try {
    const { notifications: news } = await ask({ order: 'oldest', limit: PAGE, after: position })
    return { news, next: news.at(-1)?.cursor ?? position }
  } catch (error) {
    if (/** @type {any} */ (error).problem?.code !== 'cursor_gone') throw error
    // The store lost it, or the user was forgotten: the inbox begins anew.
    const { notifications: news } = await ask({ order: 'oldest', limit: PAGE })
    return { news, next: news.at(-1)?.cursor ?? null }
  }
}

/** What came to a channel after a position, and where that ends. */
async function ofChannel(it, channel, position) {
  const isFirst = position === undefined
  const news = []
  let [after, more] = [position, true]
  while (more) {
    const page = await it.ask('GET', path('/api/channels/{channel}/history', { channel }, { limit: PAGE, after }))
    if (!isFirst) news.push(...page.notifications)
    more = page.more
    after = page.next ?? after
    // Further than that is for the next turn.
    if (news.length >= PAGE) break
  }
  return { news, next: after ?? null }
}
