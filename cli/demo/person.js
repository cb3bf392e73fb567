/** One user: a connection, what came over it, and what can be done to it. */
import { broadcast, comeBack, connect, cut, goOffline, join, leave, send } from './actions.js'
import { createAccount } from './account.js'
import { show } from './code.js'
import { alarm, attempt, byId, clock, element } from './dom.js'
import { note, noteFrame } from './log.js'
import { gatewayOf } from './service.js'

/** Notifications that are shown. */
const MOST = 30
const CHANNEL = 'orders'
/** As people say it. */
const STATES = { idle: 'not connected', closed: 'offline', recovering: 'catching up', waiting: 'cut off' }

/**
 * @param {string} user
 * @param {string} other
 * @param {string} greeting What the field has in it at first.
 */
export function createPerson(user, other, greeting) {
  const name = titled(user)
  const card = byId('person').content.cloneNode(true).firstElementChild
  const find = (selector) => card.querySelector(selector)
  const put = (what, text) => { find(`[data-is=${what}]`).textContent = text }
  const account = createAccount()
  const button = { offline: find('[data-do=offline]'), cut: find('[data-do=cut]'), join: find('[data-do=join]') }
  /** @type {ReturnType<typeof connect> | undefined} */
  let client
  let session = ''
  let isAway = false
  let isMember = false

  card.dataset.who = user
  card.setAttribute('aria-label', name)
  find('h2').textContent = name
  find('.face').textContent = name[0]
  find('.compose .field span').textContent = `To ${titled(other)}`
  find('.compose input').value = greeting
  find('.inbox').setAttribute('aria-label', `What ${name} was told`)
  find('.empty').textContent = `Nothing yet. What is sent to ${name} appears here.`
  byId('people').append(card)

  const count = () => {
    const { arrived, waiting, replayed } = account.counts()
    put('arrived', arrived)
    put('waiting', waiting)
    put('replayed', replayed)
    put('repeats', client?.stats.duplicates ?? 0)
    find('[data-is=waiting]').parentElement.classList.toggle('is-some', waiting > 0)
  }

  /** Shows a notification. */
  const tell = ({ content, data, channel, target_user: isPersonal, replayed, stored_at: storedAt }) => {
    const from = isPersonal ? `from ${titled(`${data?.from ?? 'elsewhere'}`)}` : channel ? `#${channel}` : 'to everyone'
    const line = element('li', isPersonal ? 'personal' : 'shared', element('span', 'content', content),
      element('span', 'from', from, replayed || storedAt ? element('span', 'flag', 'replayed') : '', element('time', '', clock())))
    const list = find('.inbox ul')
    list.prepend(line)
    if (list.childElementCount > MOST) list.lastElementChild.remove()
    find('.empty').hidden = true
  }

  client = connect(user, {
    frame(direction, frame) {
      if (!/^(ping|pong)$/.test(frame.type)) noteFrame(user, direction, frame)
    },

    notification(notification) {
      account.arrives(notification)
      if (notification.cursor) put('cursor', notification.cursor)
      tell(notification)
      count()
    },

    state({ state, code, reason, retryInMs }) {
      card.dataset.state = state
      put('state', STATES[state] ?? state)
      const why = [code, reason, retryInMs === undefined ? '' : `again in ${retryInMs} ms`]
      note(user, 'event', state, why.filter(Boolean).join(' · '))
      button.cut.disabled = state === 'closed'
      if (/waiting|offline|closed|failed/.test(state)) put('gateway', 'no gateway')
      count()
    },

    async welcome(frame) {
      session = frame.session
      put('cursor', frame.cursor)
      put('gateway', await gatewayOf(session).catch(() => '?'))
    },

    gap({ channel, reason }) {
      note(user, 'event', 'gap', `${channel ?? 'inbox'}: ${reason}`)
    },

    error({ code, message }) {
      note(user, 'event', `error ${code}`, message)
      // Opened by a name that may be anybody's: nothing here can work.
      if (message.includes('not_the_page')) alarm(message)
    },
  })

  const person = {
    user,
    name,
    card,
    /** It will be told, and has been accepted. @param {string} id */
    expect(id) {
      account.accepted(id)
      count()
    },
    isMember: () => isMember,
    gateway: () => find('[data-is=gateway]').textContent,

    /** @param {string} content @param {{ expect(id: string): void }} receiver */
    async send(content, receiver) {
      show('send')
      const answer = await send(user, other, content)
      note('service', 'call', `send to ${other}`, `${answer.outcome} · id …${answer.id.slice(-8)} · cursor ${answer.cursor}`)
      receiver.expect(answer.id)
    },

    /** @param {boolean} away */
    goes(away) {
      show('offline')
      isAway = away
      button.offline.textContent = away ? 'Come back' : 'Go offline'
      if (away) goOffline(client)
      else comeBack(client)
    },

    async cut() {
      show('cut')
      await cut(session)
      note(user, 'event', 'wire cut', 'nobody was told')
    },

    /** @param {boolean} member */
    async joins(member) {
      show('join')
      isMember = member
      button.join.setAttribute('aria-pressed', `${member}`)
      button.join.textContent = member ? `In #${CHANNEL}` : `Join #${CHANNEL}`
      if (member) await join(client, CHANNEL)
      else leave(client, CHANNEL)
    },
  }

  button.offline.addEventListener('click', () => person.goes(!isAway))
  button.cut.addEventListener('click', () => attempt(person.cut))
  button.join.addEventListener('click', () => attempt(() => person.joins(!isMember)))
  return person
}

/** @param {string} name */
function titled(name) {
  return name.slice(0, 1).toUpperCase() + name.slice(1)
}

/**
 * Sends what is in the field.
 * @param {ReturnType<typeof createPerson>} from
 * @param {ReturnType<typeof createPerson>} to
 */
export function writesTo(from, to) {
  from.card.querySelector('.compose').addEventListener('submit', (event) => {
    event.preventDefault()
    const field = event.target.elements.content
    const content = field.value
    field.select()
    attempt(() => from.send(content, to))
  })
}

/**
 * To everyone, or to those who joined the channel.
 * @param {ReturnType<typeof createPerson>[]} people
 * @param {string} content
 * @param {string} [channel]
 */
export async function tellAll(people, content, channel) {
  show('broadcast')
  const concerned = people.filter((person) => !channel || person.isMember())
  const answer = await broadcast(content, channel)
  note('service', 'call', `broadcast to ${channel ? `#${channel}` : 'everyone'}`, `id …${answer.id.slice(-8)} · cursor ${answer.cursor}`)
  concerned.forEach((person) => person.expect(answer.id))
}
