// A client under test: a program that prints a line of JSON for each notification once it has handled it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Peer, TOKEN } from './peer.js'
import { until } from './run.js'

export class ClientStage {
  /** The ids of what it has handled, in order. */
  handled = []
  said = ''
  #command
  #program

  /** @param command Run by sh, with CARILLON_URL, CARILLON_TOKEN and, where there is one, CARILLON_CHANNEL. */
  static async start(command) {
    const stage = new ClientStage()
    stage.#command = command
    stage.peer = await Peer.start()
    return stage
  }

  /** Starts the program; its first connection. */
  async connect({ channel } = {}) {
    const env = { ...process.env, CARILLON_URL: this.peer.url, CARILLON_TOKEN: TOKEN, ...channel && { CARILLON_CHANNEL: channel } }
    // A group of its own, so that what the shell starts ends with it.
    this.#program = spawn('sh', ['-c', this.#command], { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let tail = ''
    this.#program.stdout.on('data', (text) => {
      const lines = (tail + text).split('\n')
      tail = lines.pop()
      for (const line of lines) {
        const { id } = JSON.parse(line)
        if (id) this.handled.push(id)
      }
    })
    this.#program.stderr.on('data', (text) => { this.said = (this.said + text).slice(-2_000) })
    try {
      return await this.peer.next(15_000)
    } catch (error) {
      throw new Error(`${error.message}; it said: ${this.said}`)
    }
  }

  /** The same, begun. */
  async begin(count, more) {
    return (await this.connect()).begin(count, more)
  }

  /** Waits until it has handled so many. */
  async handles(count, patience) {
    await until(() => this.handled.length >= count, () => `${this.handled.length} of ${count} handled: ${this.handled}; it said: ${this.said}`, patience)
    return this.handled
  }

  async stop() {
    const program = this.#program
    if (program && program.exitCode === null && program.signalCode === null) {
      const gone = once(program, 'exit')
      process.kill(-program.pid, 'SIGKILL')
      await gone
    }
    this.peer.stop()
  }
}
