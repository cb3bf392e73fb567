// A notification centre on two devices, against a real server.
import { test } from 'node:test'
import { createInbox } from 'carillon-client/inbox'
import { assert, keep, listen, newUser, start, token, until } from './setup.js'

/** A device's, followed. */
async function centre(carillon, proxy, user, device) {
  const it = await listen(proxy, user, { device }, null)
  const inbox = createInbox({ client: it.client, getToken: () => token(user), api: `http://${carillon.at.public}`, limit: 2 })
  const close = inbox.subscribe(() => {})
  keep({ stop: close })
  await until(() => inbox.get().status === 'ready', () => JSON.stringify(inbox.get()))
  return { ...it, inbox }
}

test('what is read on one device is read on the other, and the badge is right', async () => {
  const { carillon, proxy } = await start()
  const user = newUser()
  for (const content of ['one', 'two', 'three']) await carillon.send(user, content)
  const phone = await centre(carillon, proxy, user, 'phone')
  const desk = await centre(carillon, proxy, user, 'desk')
  const contents = ({ inbox }) => inbox.get().items.map((it) => `${it.content}${it.read ? ' read' : ''}`)
  const shows = (device, expected, unread) => until(
    () => `${contents(device)}` === `${expected}` && device.inbox.get().unread === unread,
    () => `${JSON.stringify(device.inbox.get())}, not ${expected} and ${unread}`)
  await desk.inbox.more()
  await shows(desk, ['three', 'two', 'one'], 3)
  await phone.inbox.more()
  await phone.inbox.markRead(phone.inbox.get().items[1])
  for (const device of [phone, desk]) await shows(device, ['three', 'two read', 'one'], 2)

  const id = await carillon.send(user, 'four')
  for (const device of [phone, desk]) await shows(device, ['four', 'three', 'two read', 'one'], 3)
  await carillon.call('DELETE', `/api/users/${user}/notifications/${id}`)
  for (const device of [phone, desk]) await shows(device, ['three', 'two read', 'one'], 2)
  await desk.inbox.markAllRead()
  for (const device of [phone, desk]) await shows(device, ['three read', 'two read', 'one read'], 0)

  // While it was away.
  proxy.reset()
  await carillon.send(user, 'five')
  await until(() => phone.inbox.get().unread === 1, () => JSON.stringify(phone.inbox.get()))
  assert.equal(phone.inbox.get().items[0].content, 'five')
})

test('another user\'s token shows another inbox, and a key none', async () => {
  const { carillon, proxy } = await start()
  const user = newUser()
  await carillon.send(user, 'mine')
  const other = await centre(carillon, proxy, newUser(), 'phone')
  assert.deepEqual(other.inbox.get().items, [])
  const inbox = createInbox({ client: other.client, getToken: () => carillon.key, api: `http://${carillon.at.public}` })
  keep({ stop: inbox.subscribe(() => {}) })
  await until(() => inbox.get().status === 'failed', () => JSON.stringify(inbox.get()))
  assert.equal(inbox.get().error.code, 'user_token_needed')
})
