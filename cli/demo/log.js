/** The live log: every frame, every state of a connection, every call of the service. Bounded; the newest first. */
import { byId, clock, element } from './dom.js'

/** Lines that are kept. */
const MOST = 300
/** Of what a frame says besides. */
const LENGTH = 116
const ARROWS = { in: ['←', 'received'], out: ['→', 'sent'], event: ['•', 'event'], call: ['⇒', 'called'] }

const list = byId('log')
let dropped = 0

byId('whose').addEventListener('change', ({ target }) => { list.dataset.whose = target.value })
byId('clear').addEventListener('click', () => {
  list.replaceChildren()
  dropped = 0
  tellDropped()
})

/**
 * @param {string} who
 * @param {'in' | 'out' | 'event' | 'call'} kind
 * @param {string} what
 * @param {string} text
 * @param {string[]} flags
 */
export function note(who, kind, what, text, flags = []) {
  const [arrow, word] = ARROWS[kind]
  const line = element('li', kind)
  line.dataset.who = who
  const sign = element('span', 'sign', arrow)
  sign.setAttribute('aria-hidden', 'true')
  line.append(
    element('time', '', clock(new Date(), 3)), element('b', 'who', who), sign, element('span', 'unseen', ` ${word} `),
    element('code', 'what', what), ...flags.map((flag) => element('span', 'flag', flag)), element('span', 'text', text),
  )
  list.prepend(line)
  if (list.childElementCount <= MOST) return
  list.lastElementChild?.remove()
  dropped++
  tellDropped()
}

/**
 * @param {string} who
 * @param {'in' | 'out'} direction
 * @param {any} frame
 */
export function noteFrame(who, direction, frame) {
  const { type, id, cursor, content, replayed, recovered, ...more } = frame
  if (!id) return note(who, direction, type, said({ cursor, recovered, ...more }), recovered === false ? ['not recovered'] : [])
  const flags = [more.target_user ? 'personal' : more.channel ? `#${more.channel}` : 'everyone', ...replayed ? ['replayed'] : []]
  note(who, direction, type, `“${content}” id …${id.slice(-8)} ${cursor ? `cursor ${cursor}` : ''}`, flags)
}

/** @param {Record<string, unknown>} fields */
function said(fields) {
  const parts = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)
  const text = parts.map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' · ')
  return text.length > LENGTH ? `${text.slice(0, LENGTH)}…` : text
}

function tellDropped() {
  const it = byId('dropped')
  it.hidden = !dropped
  it.textContent = `${dropped} older lines are no longer kept.`
}
