// Handlers that are late, fail, take their time, or are not there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTab, sendMany, World } from './setup.js'

const device = (tab) => tab.page.scope.localStorage['carillon.device']

async function connected(world, options) {
  const tab = openTab(world, options)
  tab.client.connect()
  await world.advance(100)
  return tab
}

test('notifications wait for their handler, and are acked only then', async () => {
  const world = new World()
  const tab = await connected(world)
  const ids = sendMany(world, 3)
  await world.advance(3_000)
  assert.equal(tab.client.stats.waiting, 3)
  assert.equal(world.server.acked('alice', device(tab)), undefined)
  tab.client.on('test', ({ id }) => tab.given.push(id))
  await world.advance(1_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(world.server.acked('alice', device(tab)), world.server.inbox('alice').end)
})

test('handlers that are attached together are all given what waits', async () => {
  const world = new World()
  const tab = await connected(world)
  const [id] = sendMany(world, 1)
  await world.advance(50)
  const seen = []
  tab.client.on('test', (it) => seen.push(['type', it.id]))
  tab.client.on('notification', (it) => seen.push(['any', it.id]))
  await world.advance()
  assert.deepEqual(seen, [['type', id], ['any', id]])
})

test('what is taken back while it waits is given to nobody, and acked', async () => {
  const world = new World()
  const tab = await connected(world)
  const ids = sendMany(world, 3)
  await world.advance(50)
  const told = []
  tab.client.on('retracted', (frame) => told.push(frame.ids))
  world.server.tell({ type: 'retracted', ids: [ids[1], 'never-came'] })
  await world.advance(50)
  assert.deepEqual(told, [[ids[1], 'never-came']])
  tab.client.on('test', ({ id }) => tab.given.push(id))
  await world.advance(1_000)
  assert.deepEqual(tab.given, [ids[0], ids[2]])
  assert.equal(world.server.acked('alice', device(tab)), world.server.inbox('alice').end)
})

test('one that waits holds back the ack, not the others', async () => {
  const world = new World()
  const tab = await connected(world)
  const first = world.server.send('alice', { type: 'other' })
  tab.client.on('test', ({ id }) => tab.given.push(id))
  const ids = sendMany(world, 5)
  await world.advance(1_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(world.server.acked('alice', device(tab)), undefined)
  world.network.cut()
  await world.advance(5_000)
  assert.deepEqual(tab.given, ids)
  tab.client.on('other', ({ id }) => tab.given.push(id))
  await world.advance(1_000)
  assert.deepEqual(tab.given, [...ids, first])
  assert.equal(world.server.acked('alice', device(tab)), world.server.inbox('alice').end)
})

test('a handler that throws, or whose promise fails, is told of and does no harm', async () => {
  const world = new World()
  const tab = await connected(world)
  let calls = 0
  tab.client.on('test', () => { calls++; throw new Error('mine') })
  tab.client.on('test', async () => { throw new Error('later') })
  tab.client.on('test', ({ id }) => { tab.given.push(id) })
  const ids = sendMany(world, 2)
  await world.advance(1_000)
  assert.deepEqual(tab.given, ids)
  assert.equal(calls, 2)
  assert.deepEqual(tab.errors.map((it) => [it.code, it.cause.message]),
    [['handler_failed', 'mine'], ['handler_failed', 'later'], ['handler_failed', 'mine'], ['handler_failed', 'later']])
  assert.equal(world.server.acked('alice', device(tab)), world.server.inbox('alice').end)
  world.network.cut()
  await world.advance(5_000)
  assert.equal(calls, 2)
})

test('a handler for errors that fails is not told of its own', async (t) => {
  const world = new World()
  const tab = await connected(world)
  const said = t.mock.method(console, 'error', () => {})
  tab.client.on('error', () => { throw new Error('again') })
  tab.client.on('test', () => { throw new Error('mine') })
  sendMany(world, 1)
  await world.advance(50)
  assert.equal(said.mock.callCount(), 1)
})

test('errors that nobody listens to are on the console', async (t) => {
  const world = new World()
  const said = t.mock.method(console, 'error', () => {})
  const { NotificationClient } = await import('carillon-client')
  const client = new NotificationClient({ url: 'wss://push.example', token: world.token(), scope: world.page().scope })
  client.on('test', () => { throw new Error('mine') })
  client.connect()
  await world.advance(100)
  sendMany(world, 1)
  await world.advance(50)
  assert.equal(said.mock.calls[0].arguments[0].code, 'handler_failed')
})

test('a promise is acked when it settles', async () => {
  const world = new World()
  const tab = await connected(world)
  let done
  tab.client.on('test', () => new Promise((resolve) => { done = resolve }))
  sendMany(world, 1)
  await world.advance(1_000)
  assert.equal(world.server.acked('alice', device(tab)), undefined)
  done()
  await world.advance(1_000)
  assert.equal(world.server.acked('alice', device(tab)), world.server.inbox('alice').end)
})

test('manual acks move only over what is acked', async () => {
  const world = new World()
  const tab = await connected(world, { ack: 'manual' })
  const given = []
  tab.client.on('test', (it) => { given.push(it) })
  sendMany(world, 3)
  await world.advance(1_000)
  tab.client.ack(given[1])
  await world.advance(1_000)
  assert.equal(world.server.acked('alice', device(tab)), undefined)
  tab.client.ack(given[0])
  await world.advance(1_000)
  assert.equal(world.server.acked('alice', device(tab)), given[1].cursor)
})

test('too many that wait: the oldest is given up, told and counted, and stays unacked', async () => {
  const world = new World()
  const tab = await connected(world)
  sendMany(world, 1002)
  await world.advance(1_000)
  assert.deepEqual([tab.client.stats.waiting, tab.client.stats.dropped], [1000, 2])
  assert.deepEqual(tab.errors.map((it) => it.code), ['too_many_waiting', 'too_many_waiting'])
  tab.client.on('test', ({ id }) => tab.given.push(id))
  await world.advance(1_000)
  assert.equal(tab.given.length, 1000)
  assert.equal(world.server.acked('alice', device(tab)), undefined)
})

test('names of the client cannot be feigned by a notification', async () => {
  const world = new World()
  const tab = await connected(world)
  tab.client.on('notification', ({ type }) => tab.given.push(type))
  const before = tab.states.length
  for (const type of ['state', 'notification', 'drain', '*', '__proto__', 'constructor', 'toString']) {
    world.server.send('alice', { type })
  }
  await world.advance(100)
  assert.deepEqual(tab.given, ['state', 'notification', 'drain', '*', '__proto__', 'constructor', 'toString'])
  assert.equal(tab.states.length, before)
})

test('once is once, off is off, and * sees control frames, too', async () => {
  const world = new World()
  const tab = openTab(world)
  const seen = []
  tab.client.once('test', ({ id }) => { seen.push(id) })
  const all = (frame) => { tab.given.push(frame.type) }
  tab.client.on('*', all)
  tab.client.connect()
  await world.advance(100)
  const ids = sendMany(world, 2)
  await world.advance(50)
  assert.deepEqual(seen, ids.slice(0, 1))
  assert.deepEqual(tab.given, ['welcome', 'replayed', 'test', 'test'])
  tab.client.off('*', all)
  sendMany(world, 1)
  await world.advance(50)
  assert.equal(tab.given.length, 4)
  assert.equal(tab.client.stats.waiting, 1)
})
