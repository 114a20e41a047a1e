"""The fleet's rules once more, as processes of simpy: what each request and each instance does, told one by one."""

import itertools

import simpy


class Instance:
    def __init__(self, number, now, place):
        self.number, self.born, self.place = number, now, place
        self.ready = self.end = None
        self.requests = {}  # index: the process that runs it
        self.runs = self.turn = 0


class SimpyFleet:
    """Takes the same draws as the compiled simulation, and nothing else from it."""

    def __init__(self, rules, arrivals, runs, setups, firsts, setup_fails=(0,), losses=()):
        self.env = simpy.Environment()
        self.rules, self.arrivals, self.runs = rules, arrivals, runs
        self.setups, self.firsts, self.setup_fails, self.losses = setups, firsts, setup_fails, losses
        self.queue, self.alive, self.ended, self.done, self.waiters = [], [], [], {}, []
        self.places = list(range(rules.max_instances))  # free ones; the last that was given back is taken first
        self.numbers, self.turns = itertools.count(), itertools.count(1)

    def play(self, horizon):
        for _ in range(self.rules.min_instances):
            one = self.add()
            one.ready = 0.0
            self.become_idle(one)
        self.env.process(self.arrive())
        self.env.process(self.lose())
        self.env.run(until=horizon)
        while len(self.done) < len(self.arrivals) or any(one.ready is None for one in self.alive):
            self.env.step()
        last = max(self.env.now, horizon)
        self.losses = ()
        self.env.run()
        for one in list(self.alive):
            self.stop(one, last)
        self.ended.sort(key=lambda one: one.number)

    def add(self):
        one = Instance(next(self.numbers), self.env.now, self.places.pop(0))
        self.alive.append(one)
        return one

    def stop(self, one, when):
        one.end = when
        self.places.insert(0, one.place)
        self.alive.remove(one)
        self.ended.append(one)

    def arrive(self):
        for index, at in enumerate(self.arrivals):
            yield self.env.timeout(at - self.env.now)
            self.queue.append(index)
            self.serve(cold=False)
            self.scale()

    def lose(self):
        for gap, place in self.losses:
            yield self.env.timeout(gap)
            lost = [one for one in self.alive if one.place == place]
            if not self.losses or not lost:
                continue
            self.queue[:0] = sorted(lost[0].requests)
            for process in lost[0].requests.values():
                process.interrupt()
            self.stop(lost[0], self.env.now)
            self.serve(cold=False)
            self.scale()

    def wanted(self):
        running, waiting = sum(len(one.requests) for one in self.alive), len(self.queue)
        if running + waiting == 0:
            return self.rules.min_instances
        slots = running + -(-waiting // self.rules.waiting_per_slot)
        return max(-(-slots // self.rules.slots) + self.rules.buffer, self.rules.min_instances)

    def scale(self):
        while len(self.alive) < min(self.wanted(), self.rules.max_instances):
            self.env.process(self.set_up(self.add()))

    def set_up(self, one):
        yield self.env.timeout(self.setups[one.number % len(self.setups)])
        if one.end is not None:
            return
        if self.setup_fails[one.number % len(self.setup_fails)]:
            one.ready = self.env.now
            self.stop(one, self.env.now)
            self.scale()
            return
        one.ready = self.env.now
        self.become_idle(one)
        self.serve(cold=True)

    def become_idle(self, one):
        one.turn = next(self.turns)
        self.env.process(self.expire(one, one.turn))

    def expire(self, one, turn):
        """End when idle for long enough; where the rules forbid it then, at the first moment that allows it."""
        yield self.env.timeout(self.rules.idle_seconds)
        while one.end is None and one.turn == turn:
            if len(self.alive) > self.wanted():
                self.stop(one, self.env.now)
                return
            self.waiters.append(self.env.event())
            yield self.waiters[-1]

    def serve(self, cold):
        while self.queue:
            free = [one for one in self.alive if one.ready is not None and len(one.requests) < self.rules.slots]
            if not free:
                break
            one = max([one for one in free if one.requests] or free, key=lambda one: one.turn)
            index = self.queue.pop(0)
            takes = self.firsts[one.number % len(self.firsts)] if one.runs == 0 else self.runs[index]
            one.runs += 1
            if not one.requests:
                one.turn = next(self.turns)
            one.requests[index] = self.env.process(self.run(one, index, takes, cold))
        waiters, self.waiters = self.waiters, []
        for event in waiters:
            event.succeed()

    def run(self, one, index, takes, cold):
        begin = self.env.now
        try:
            yield self.env.timeout(takes)
        except simpy.Interrupt:
            return
        full = len(one.requests) == self.rules.slots
        del one.requests[index]
        self.done[index] = (self.arrivals[index], begin, self.env.now, one.number, cold)
        if not one.requests:
            self.become_idle(one)
        elif full:
            one.turn = next(self.turns)
        self.serve(cold=False)
