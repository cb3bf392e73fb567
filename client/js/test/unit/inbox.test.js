// A notification centre: what it asks, what it shows meanwhile, and what it makes of what it is told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createInbox } from 'carillon-client/inbox'

/** A client that tells what the test has it tell. */
function newClient() {
  const handlers = new Map()
  return {
    on(type, handler) {
      handlers.set(type, [...handlers.get(type) ?? [], handler])
      return () => handlers.set(type, handlers.get(type).filter((it) => it !== handler))
    },
    tell: (type, value) => handlers.get(type)?.forEach((handler) => handler(value)),
    followed: () => [...handlers.values()].flat().length,
  }
}

/** The service: an inbox by cursor, and the requests that came. */
function newService(count) {
  const service = {
    items: Array.from({ length: count }, (_, at) => item(at)),
    asked: [], tokens: [], fails: undefined, refuses: undefined, hold: undefined,
    unread: () => service.items.filter((it) => !it.read).length,
    async fetch(url, { headers, method = 'GET', body }) {
      const { pathname, searchParams } = new URL(url)
      service.asked.push(`${method} ${pathname.slice('/api/me/'.length)}${body ? ` ${body}` : ''}`)
      service.tokens.push(headers.authorization)
      await service.hold
      if (service.fails) throw new TypeError('no network')
      const answer = (status, told) => ({ ok: status < 300, status, json: async () => JSON.parse(JSON.stringify(told)) })
      if (service.refuses?.test(headers.authorization)) return answer(401, { code: 'token_expired', detail: 'it ended' })
      if (pathname.endsWith('/unread')) return answer(200, { unread: service.unread() })
      if (pathname.endsWith('/read')) {
        const { cursor, up_to: upTo } = JSON.parse(body)
        const at = service.items.findIndex((it) => it.cursor === (cursor ?? upTo))
        if (at < 0) return answer(404, { code: 'receipt_gone', detail: 'nothing is kept there' })
        service.items.forEach((it, index) => { if (cursor ? index === at : index <= at) it.read = true })
        return answer(200, { status: 'ok', changed: true, unread: service.unread() })
      }
      const newest = service.items.toReversed()
      const after = searchParams.get('after')
      const from = after ? newest.findIndex((it) => it.cursor === after) + 1 : 0
      const page = newest.slice(from, from + Number(searchParams.get('limit')))
      const isLast = from + page.length >= newest.length
      return answer(200, { notifications: page, next: isLast ? null : page.at(-1).cursor })
    },
  }
  return service
}

const item = (at, more) => ({ id: `n${at}`, type: 't', content: `${at}`, target_user: 'alice', cursor: `c${at}`, read: false, ...more })
const ids = (inbox) => inbox.get().items.map((it) => it.id)
const read = (inbox) => inbox.get().items.filter((it) => it.read).map((it) => it.id)

async function until(holds) {
  for (let turn = 0; turn < 500; turn++) {
    if (holds()) return
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  assert.fail(`never: ${holds}`)
}

async function open(count, options = {}) {
  const client = newClient()
  const service = newService(count)
  const inbox = createInbox({ client, fetch: service.fetch, getToken: () => 'a.b.c', api: 'https://push.example', limit: 3, ...options })
  let changes = 0
  const close = inbox.subscribe(() => { changes++ })
  await until(() => inbox.get().status === 'ready')
  return { client, service, inbox, close, changes: () => changes }
}

test('it is loaded page by page, the newest first, and counted whole', async () => {
  const { inbox, service, client, close } = await open(5)
  assert.deepEqual(ids(inbox), ['n4', 'n3', 'n2'])
  assert.deepEqual([inbox.get().unread, inbox.get().hasMore], [5, true])
  await inbox.more()
  assert.deepEqual(ids(inbox), ['n4', 'n3', 'n2', 'n1', 'n0'])
  assert.equal(inbox.get().hasMore, false)
  const asked = service.asked.length
  await inbox.more()
  assert.equal(service.asked.length, asked, 'there is no more to ask for')
  assert.equal(inbox.get(), inbox.get(), 'the same until something happens')
  close()
  assert.equal(client.followed(), 0)
})

test('what comes is on top, once, and of the user\'s own inbox alone', async () => {
  const { inbox, client, service } = await open(1)
  service.items.push(item(1))
  for (let again = 0; again < 2; again++) client.tell('notification', item(1, { read: undefined }))
  client.tell('notification', { id: 'b', type: 't', target_user: null, channel: 'news', cursor: 'x' })
  client.tell('notification', { id: 'e', type: 't', target_user: 'alice' })
  client.tell('notification', item(0, { id: 'older', cursor: 'older', replayed: true }))
  assert.deepEqual(ids(inbox), ['n1', 'n0'])
  assert.equal(inbox.get().unread, 2)
})

test('marking is shown at once, and taken back where it fails', async () => {
  const { inbox, service } = await open(3)
  const marking = inbox.markRead(inbox.get().items[1])
  assert.deepEqual(read(inbox), ['n1'], 'before the answer')
  await marking
  assert.deepEqual([inbox.get().unread, inbox.get().error], [2, undefined])

  service.fails = true
  await inbox.markRead('c0')
  assert.deepEqual(read(inbox), ['n1'])
  assert.deepEqual([inbox.get().status, inbox.get().error.code, inbox.get().unread], ['failed', 'unavailable', 2])
  service.fails = false
  service.items.shift()
  await inbox.markRead('c0')
  assert.deepEqual([inbox.get().error.code, inbox.get().error.message], ['receipt_gone', 'nothing is kept there'])

  await inbox.markAllRead()
  assert.equal(service.asked.at(-1), 'POST read {"up_to":"c2"}', 'what comes meanwhile was not seen')
  assert.deepEqual([inbox.get().unread, read(inbox).length, inbox.get().status], [0, 3, 'ready'])
})

test('what is read elsewhere is read here', async () => {
  const { inbox, client, service } = await open(5)
  service.items[3].read = true
  client.tell('changed', { what: 'read', cursor: 'c3', notification: 'n3' })
  assert.deepEqual(read(inbox), ['n3'])
  await until(() => inbox.get().unread === 4)
  service.items.forEach((it, at) => { if (at <= 2) it.read = true })
  client.tell('changed', { what: 'read', up_to: 'c2' })
  assert.deepEqual(read(inbox), ['n3', 'n2'])
  await until(() => inbox.get().unread === 1)
  // Up to one that is not loaded: whether the others are before it, the service knows.
  await until(() => service.asked.length > 0)
  const asked = service.asked.length
  client.tell('changed', { what: 'read', up_to: 'c0' })
  await until(() => service.asked.slice(asked).some((it) => it.startsWith('GET notifications')))
})

test('what is taken back leaves, and who was away asks anew', async () => {
  const { inbox, client, service } = await open(2)
  service.items.splice(1, 1)
  client.tell('retracted', { ids: ['n1', 'unknown'] })
  assert.deepEqual(ids(inbox), ['n0'])
  await until(() => inbox.get().unread === 1)
  service.items.push(item(7), item(8))
  for (let again = 0; again < 5; again++) client.tell('replayed', { count: 2 })
  await until(() => inbox.get().items.length === 3)
  assert.deepEqual([ids(inbox), inbox.get().unread], [['n8', 'n7', 'n0'], 3])
  assert.equal(service.asked.filter((it) => it.startsWith('GET notifications')).length, 2, 'once for all that happened')
})

test('a change that follows at once does not take the place of asking for all', async () => {
  const { inbox, client, service } = await open(2)
  service.items.push(item(7))
  client.tell('replayed', { count: 1 })
  client.tell('changed', { what: 'read', cursor: 'c0', notification: 'n0' })
  client.tell('retracted', { ids: ['unknown'] })
  await until(() => inbox.get().items.length === 3)
  assert.deepEqual([ids(inbox), inbox.get().unread], [['n7', 'n1', 'n0'], 3])
})

test('what comes while a page is on its way is not lost', async () => {
  const { inbox, client, service } = await open(1)
  let release
  service.hold = new Promise((resolve) => { release = resolve })
  const refreshing = inbox.refresh()
  await until(() => service.asked.length >= 4)
  client.tell('notification', item(1, { read: undefined }))
  release()
  await refreshing
  assert.deepEqual(ids(inbox), ['n1', 'n0'])
})

test('a token that is refused is asked for once more', async () => {
  const reasons = []
  const getToken = ({ reason }) => {
    reasons.push(reason)
    return reason === 'unauthorized' ? 'new' : 'old'
  }
  const client = newClient()
  const service = newService(1)
  service.refuses = /old/
  const inbox = createInbox({ client, fetch: service.fetch, getToken, api: 'https://push.example' })
  inbox.subscribe(() => {})
  await until(() => inbox.get().status === 'ready')
  assert.ok(reasons.includes('unauthorized') && service.tokens.includes('Bearer new'))
  service.refuses = /old|new/
  await inbox.refresh()
  assert.deepEqual([inbox.get().status, inbox.get().error.code], ['failed', 'token_expired'])
  assert.equal(inbox.get().items.length, 1, 'what is here is as of the last time')
})
