// A queue, a worker, a hundred jobs: each is done once, with its result. The hash tag puts the
// queue's keys on one node.
import assert from 'node:assert';
import { Queue, QueueEvents, Worker } from 'bullmq';

const JOBS = 100;
const options = { connection: { host: '127.0.0.1', port: Number(process.argv[2]) }, prefix: '{bull}' };

const queue = new Queue('jobs', options);
const events = new QueueEvents('jobs', options);
await events.waitUntilReady();
const runs = new Map();
const worker = new Worker(
  'jobs',
  async (job) => {
    runs.set(job.data.number, (runs.get(job.data.number) ?? 0) + 1);
    return job.data.number * job.data.number;
  },
  { ...options, concurrency: 8 },
);
worker.on('error', (error) => {
  console.error(`worker: ${error.message}`);
});

const numbers = [...Array(JOBS).keys()];
const jobs = await queue.addBulk(
  // Some wait first, some fail over to a retry: that is most of what a queue's scripts do.
  numbers.map((number) => ({ name: 'square', data: { number }, opts: { delay: number % 10 === 0 ? 50 : 0, attempts: 2 } })),
);
const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 60_000)));
assert.deepStrictEqual(results, numbers.map((number) => number * number));
assert.deepStrictEqual([...runs.values()], Array(JOBS).fill(1));
const counts = await queue.getJobCounts('completed', 'failed', 'waiting', 'active', 'delayed');
assert.deepStrictEqual(counts, { completed: JOBS, failed: 0, waiting: 0, active: 0, delayed: 0 });
await worker.close();
await events.close();
await queue.close();
console.log('done');
process.exit(0);
