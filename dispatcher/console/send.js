/** Sends by hand: to a user, to a channel, to everyone. */
import { card, done } from './card.js'
import { ask } from './ask.js'
import { element, field, form } from './dom.js'
import { link } from './find.js'
import { Refusal } from './api.js'

/** Fields that both have. */
const fields = () => [
  field('Type', 'notification_type', { required: true, maxlength: 128, value: 'notice' }),
  field('Content', 'content', { maxlength: 2_000 }),
  field('Data, JSON (optional)', 'data', { rows: '2', placeholder: '{"order":4711}' }),
  field('Lifetime (optional)', 'ttl', { placeholder: '10m', about: 'Seconds, or a text such as 10m or 2h 30m.' }),
]

/** @param {string} user @param {() => unknown} then */
export function send(user, then) {
  const result = element('div', '')
  const it = card(`Send to ${user}`, 'To the connected devices now, to every other one when it comes. Under an idempotency key of its own.',
    form('stack', (values) => it.attempt(async () => {
      const { id, cursor, message, user_seen: isSeen } = await it.ask('POST', '/api/notifications/send', { once: true, body: { target_user: user, ...given(values) } })
      result.replaceChildren(done(`${message}. ${isSeen ? '' : 'This user never connected, as far back as is remembered: a misspelt name? '}`,
        cursor ? element('a', { href: link('notification', user, cursor) }, `Trace ${cursor}`) : `id ${id}, stored nowhere`))
      await then()
    }), ...fields(), field('Collapse key (optional)', 'collapse_key', { maxlength: 64, about: 'Takes the place of the last one of the same key.' }),
    element('button', { class: 'primary' }, 'Send')), result)
  return it
}

/** @param {string | undefined} channel None: to everyone. @param {() => unknown} then */
export function publish(channel, then) {
  const result = element('div', '')
  const whom = channel ? `the members of ${channel}` : 'everyone'
  const it = card(`Publish to ${whom}`, 'Who is reconnecting gets it from the channel’s log.',
    form('stack', async (values) => {
      if (!await ask(`Publish to ${whom}?`, [channel ? 'Everyone who is on the channel is given it.' : 'Every user who is connected is given it, and whoever reconnects within the log’s age.'], 'Publish')) return
      await it.attempt(async () => {
        const { message, cursor } = await it.ask('POST', '/api/notifications/broadcast', { once: true, body: { ...channel && { channel }, ...given(values) } })
        result.replaceChildren(done(`${message}, at ${cursor}`))
        await then()
      })
    }, ...fields(), element('button', { class: 'primary' }, 'Publish')), result)
  return it
}

/** The fields that were filled in; the content may be empty. @param {Record<string, string>} values */
function given({ data, content, ...texts }) {
  const filled = Object.fromEntries(Object.entries(texts).filter(([, text]) => text.trim() !== ''))
  return { content, ...filled, ...data.trim() && { data: parsed(data) } }
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text)
  } catch (error) {
    const detail = `${/** @type {Error} */ (error).message}; write JSON, such as {"order":4711}, or nothing`
    throw new Refusal({ title: 'The data is no JSON', detail })
  }
}
