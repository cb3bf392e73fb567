// Event streams, for clients whose networks let no WebSocket through.
import { skip } from '../src/run.js'
import { isToEveryone, SOON, sleep } from '../src/socket.js'
import { assert, ids } from '../src/stage.js'

/** A stream: its events as `{ name, id, data, retry }`, comments as `{ comment }`. */
async function open(stage, { token, lastId, accept = 'text/event-stream', channels = [], ...query } = {}) {
  if (!stage.server.sse) skip('no --sse')
  const url = new URL(stage.server.sse)
  for (const channel of channels) url.searchParams.append('channel', channel)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  const leaving = new AbortController()
  stage.keep({ stream: { destroy: () => leaving.abort() } })
  const headers = { accept, authorization: `Bearer ${token ?? await stage.token()}`, ...lastId && { 'last-event-id': lastId } }
  const answer = await fetch(url, { headers, signal: leaving.signal })
  if (answer.status !== 200) return { answer, problem: await answer.json() }
  return { answer, events: read(answer.body), leave: () => leaving.abort() }
}

async function* read(body) {
  let tail = ''
  let event = {}
  for await (const bytes of body) {
    const lines = (tail + Buffer.from(bytes).toString()).split('\n')
    tail = lines.pop()
    for (const line of lines) {
      if (line.startsWith(':')) yield { comment: true }
      else if (!line) {
        if (Object.keys(event).length) yield { name: 'message', ...event, ...event.data && { data: JSON.parse(event.data) } }
        event = {}
      } else {
        const at = line.indexOf(': ')
        const field = line.slice(0, at)
        event[field === 'event' ? 'name' : field] = (field === 'data' && event.data ? `${event.data}\n` : '') + line.slice(at + 2)
      }
    }
  }
}

/** Events up to the first of one of these names, included. */
async function upTo(events, names, patience = SOON) {
  const came = []
  const end = sleep(patience).then(() => { throw new Error(`no ${names} within ${patience} ms, but ${came.map((it) => it.name)}`) })
  end.catch(() => {})
  for (;;) {
    const { done, value } = await Promise.race([events.next(), end])
    if (done) throw new Error(`the stream ended before ${names}`)
    if (value.comment) continue
    came.push(value)
    if ([names].flat().includes(value.name)) return came
  }
}

const notifications = (events) => events.filter(({ name, data }) => name === 'message' && data && !isToEveryone(data))

/** The next notification of the user or a channel. */
async function next(events) {
  for (;;) {
    const [event] = notifications(await upTo(events, 'message'))
    if (event) return event
  }
}

export default [
  {
    name: 'stream-begins',
    says: 'Notifications are events without a name, so that `onmessage` has them. Control frames are events of their type\'s name',
    async run(stage) {
      const sent = await stage.sendMany(2)
      const { answer, events } = await open(stage, { device: 'phone' })
      assert.match(answer.headers.get('content-type'), /^text\/event-stream/)
      assert.match(answer.headers.get('cache-control'), /no-store/)
      const came = await upTo(events, 'replayed')
      const frames = came.filter(({ data }) => data && !(data.id && isToEveryone(data)))
      assert.deepEqual(frames.map(({ name }) => name), ['welcome', 'message', 'message', 'replayed'])
      assert.deepEqual(ids(notifications(frames).map(({ data }) => data)), sent)
      for (const { name, id } of frames) assert.equal(typeof id, 'string', `${name} has an id`)
      assert.ok(came.some(({ retry }) => Number(retry) > 0), 'when to come back')
    },
  },
  {
    name: 'stream-is-acked-by-coming-back',
    says: 'A client that comes with an id has everything before it, and the store is told.',
    async run(stage) {
      const sent = await stage.sendMany(3)
      const first = await open(stage, { device: 'phone' })
      const came = notifications(await upTo(first.events, 'replayed'))
      first.leave()
      const second = await open(stage, { device: 'phone', lastId: came[1].id })
      assert.deepEqual(ids(notifications(await upTo(second.events, 'replayed')).map(({ data }) => data)), sent.slice(2))
      second.leave()
      await sleep(2_000)
      const { missed } = await stage.begin({ device: 'phone' })
      assert.deepEqual(ids(missed), sent.slice(2))
    },
  },
  {
    name: 'stream-without-an-id',
    says: 'A client that comes without an id is given again what its device has not acked',
    async run(stage) {
      const sent = await stage.sendMany(2)
      for (let round = 0; round < 2; round++) {
        const { events, leave } = await open(stage, { device: 'phone' })
        assert.deepEqual(ids(notifications(await upTo(events, 'replayed')).map(({ data }) => data)), sent)
        leave()
      }
    },
  },
  {
    name: 'stream-that-is-full',
    says: 'So a stream ends (4204) after 64 personal notifications (`sse.unacked`)',
    async run(stage) {
      const sent = await stage.sendMany(150)
      const came = []
      let lastId
      let isFull = true
      for (let round = 0; isFull && round < 30; round++) {
        const { events, leave } = await open(stage, { device: 'phone', lastId })
        const all = await upTo(events, ['disconnect', 'replayed'])
        came.push(...notifications(all))
        lastId = came.at(-1).id
        isFull = all.at(-1).name === 'disconnect'
        const { code, retry_ms } = all.at(-1).data
        if (isFull) assert.deepEqual([code, retry_ms <= 1_000], [4204, true], 'to come back at once')
        leave()
      }
      assert.deepEqual(ids(came.map(({ data }) => data)), sent)
    },
  },
  {
    name: 'stream-with-channels',
    says: 'One that is refused is told by an `error` with its name and keeps no other out.',
    async run(stage) {
      const channel = stage.name('c')
      const { events, leave } = await open(stage, { channels: ['private:x', channel] })
      const begun = await upTo(events, 'subscribed')
      const error = begun.find(({ name }) => name === 'error')
      assert.deepEqual([error.data.channel, error.data.code], ['private:x', 'channel_forbidden'])
      const one = await stage.publish(channel)
      const event = await next(events)
      assert.equal(event.data.id, one)
      leave()
      const missed = await stage.publish(channel)
      const later = await open(stage, { channels: [channel], lastId: event.id })
      const came = await next(later.events)
      assert.equal(came.data.id, missed, 'one id resumes all of them exactly')
    },
  },
  {
    name: 'stream-goes-on-where-a-socket-was',
    says: 'A client that knows where it is on a channel from elsewhere, a socket say, appends that to an id',
    async run(stage) {
      const channel = stage.name('c')
      const { socket } = await stage.begin()
      socket.send({ type: 'subscribe', channel })
      const { cursor } = await socket.control('subscribed')
      const missed = await stage.publish(channel)
      socket.cut()
      const first = await open(stage)
      const id = (await upTo(first.events, 'welcome')).at(-1).id
      first.leave()
      let hash = 0x811c9dc5
      for (const letter of channel) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193)
      const { events } = await open(stage, { channels: [channel], lastId: `${id}.${(hash >>> 0).toString(16)}:${cursor}` })
      const subscribed = (await upTo(events, 'subscribed')).at(-1)
      assert.equal(subscribed.data.recovered, true)
      assert.equal((await next(events)).data.id, missed)
    },
  },
  {
    name: 'stream-that-is-refused',
    says: 'What is refused for good is a problem (RFC 9457), and a browser\'s `EventSource` stops: 401 with the reasons of 4001',
    async run(stage) {
      const { answer, problem } = await open(stage, { token: 'no.token' })
      assert.deepEqual([answer.status, problem.code], [401, 'token_malformed'])
      assert.match(answer.headers.get('content-type'), /^application\/problem\+json/)
      const { answer: other, problem: named } = await open(stage, { device: 'a b' })
      assert.deepEqual([other.status, named.code], [400, 'invalid_device'])
    },
  },
]
