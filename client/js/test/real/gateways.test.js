// Gateways that drain, or are killed, over one Redis.
import { test } from 'node:test'
import { NotificationClient } from 'carillon-client'
import { assert, Carillon, gives, keep, listen, newUser, Proxy, sleep, start, token, until, WebSocket } from './setup.js'
import { startRedis } from './server.js'

const redis = keep(await startRedis())
const settings = { CARILLON__DRAIN__WINDOW: '4s', CARILLON__LEASE__TTL: '3s', CARILLON__LEASE__RENEW: '1s' }

test('a drain: the page moves to the other gateway and sees nothing of it', async () => {
  const first = keep(await Carillon.start({ redis: redis.url, settings }))
  const other = keep(await Carillon.start({ redis: redis.url, settings }))
  const proxy = keep(await Proxy.start(first.port))
  const user = newUser()
  const it = await listen(proxy, user)
  await sleep(200)
  const before = it.states.length
  proxy.target = other.port
  const drained = []
  it.client.on('drain', ({ reason }) => { drained.push(reason) })
  first.process.kill('SIGTERM')
  const ids = []
  const end = Date.now() + 7_000
  while (Date.now() < end) ids.push(await other.send(user))
  await gives(it, ids)
  assert.deepEqual(drained, ['draining'])
  assert.deepEqual(it.states.slice(before), [])
  assert.equal(proxy.open, 1)
})

test('a gateway that is killed, ten times, while notifications come', async () => {
  const sender = keep(await Carillon.start({ redis: redis.url, settings }))
  const victim = keep(await Carillon.start({ redis: redis.url, settings }))
  const proxy = keep(await Proxy.start(victim.port))
  const user = newUser()
  const it = await listen(proxy, user)
  const ids = []
  for (let round = 0; round < 10; round++) {
    for (let n = 0; n < 20; n++) ids.push(await sender.send(user))
    await victim.kill()
    for (let n = 0; n < 5; n++) ids.push(await sender.send(user))
    await victim.begin()
    proxy.target = victim.port
    await until(() => it.client.state === 'connected', () => it.client.state)
  }
  await gives(it, ids)
})

test('a client of the simple protocol gets everything through a kill and an offline spell', async () => {
  const sender = keep(await Carillon.start({ redis: redis.url, settings }))
  const victim = keep(await Carillon.start({ redis: redis.url, settings }))
  const proxy = keep(await Proxy.start(victim.port))
  const user = newUser()
  const given = new Set()
  let isOver = false
  const connect = () => {
    const socket = new WebSocket(`${proxy.url}/ws/notifications?token=${token(user)}`)
    socket.onmessage = ({ data }) => JSON.parse(data).id && given.add(JSON.parse(data).id)
    socket.onclose = () => isOver || setTimeout(connect, 300)
    socket.onerror = () => {}
    keep({ stop: () => { isOver = true; socket.terminate() } })
  }
  connect()
  await sleep(500)
  const ids = []
  for (let n = 0; n < 20; n++) ids.push(await sender.send(user))
  await victim.kill()
  for (let n = 0; n < 20; n++) ids.push(await sender.send(user))
  await victim.begin()
  proxy.target = victim.port
  proxy.isDown = true
  await sleep(1_000)
  for (let n = 0; n < 20; n++) ids.push(await sender.send(user))
  proxy.isDown = false
  await until(() => given.size === ids.length, () => `${given.size} of ${ids.length}`)
  assert.deepEqual([...given], ids)
})

test('a replay of ten thousand', async () => {
  const { carillon, proxy } = await start({ settings: { CARILLON__INBOX__MAX: '20000' } })
  const user = newUser()
  // The device is known, so that its inbox holds what comes.
  const known = await listen(proxy, user)
  known.client.disconnect()
  await sleep(200)
  const ids = await carillon.sendMany(10_000, user)
  const began = Date.now()
  const it = await listen(proxy, user)
  await gives(it, ids)
  assert.ok(it.client.stats.duplicates <= 1)
  console.log(`10 000 in ${Date.now() - began} ms`)
})

test('a Node without a WebSocket says what is missing', { skip: globalThis.WebSocket && 'it has one' }, () => {
  assert.throws(() => new NotificationClient('wss://x.example', token('a')).connect(), { code: 'no_websocket' })
})
