// A process with one client. Over IPC: { count } says how many will come, and is answered with what they took.
import { CLIENTS } from './clients.js'

const [name, port] = process.argv.slice(2)
let expected = 0
let came = 0
let begin

/** Settled memory: what is alive, and nothing else. */
function heap() {
  globalThis.gc()
  globalThis.gc()
  return process.memoryUsage().heapUsed
}

process.on('message', ({ count }) => {
  expected = count
  came = 0
  begin = { heap: heap(), cpu: process.cpuUsage() }
  process.send('go')
})

await CLIENTS[name]({
  port: Number(port),
  given() {
    came++
    if (came !== expected) {
      if (!expected) process.send('given')
      return
    }
    expected = 0
    const { user, system } = process.cpuUsage(begin.cpu)
    // What follows a notification is a part of it: acks, timers, promises.
    setTimeout(() => process.send({ micros: user + system, heap: heap() - begin.heap }), 500)
  },
  opened: () => process.send('opened'),
})
process.on('disconnect', () => process.exit())
