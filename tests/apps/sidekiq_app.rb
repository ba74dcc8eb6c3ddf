# Sidekiq: thousands of jobs in several queues, bulk, scheduled ones, retries, dead ones, its statistics, quiet and stop.
# The worker is a real one, in a process of its own, and notes in a file what it ran.
require "securerandom"
require "tmpdir"

# Seconds that any single thing may take before the application gives up on it.
DEADLINE_S = 40

ADDRESS = ARGV[0] || ENV.fetch("SWELL_ADDRESS", "127.0.0.1:6379")
FACTOR = (ARGV[1] || 1).to_i
FOLDER = Dir.mktmpdir("swell-apps-")
NOTES = File.join(FOLDER, "notes")
LOG = File.join(FOLDER, "log")
ENV["SWELL_APPS_URL"] = "redis://#{ADDRESS}/0"
ENV["SWELL_APPS_NOTES"] = NOTES
File.write(NOTES, "")
require_relative "sidekiq_jobs"

def check(holds, what)
  raise "not so: #{what}" unless holds
end

def await(what)
  limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + DEADLINE_S
  until (found = yield)
    raise "waited #{DEADLINE_S} s in vain for #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > limit
    sleep 0.02
  end
  found
end

# How often each line that begins so was noted.
def noted(prefix)
  File.foreach(NOTES, chomp: true).select { |line| line.start_with?(prefix) }.tally
end

def worker
  queues = %w[-q critical,5 -q default,2 -q low]
  jobs = File.join(__dir__, "sidekiq_jobs.rb")
  spawn("sidekiq", "-r", jobs, "-c", "5", "-t", "1", *queues, in: File::NULL, out: LOG, err: LOG)
end

def many
  count = 1000 * FACTOR
  ids = (0...count / 2).map { |n| Square.perform_async(n) }
  ids += Square.perform_bulk((count / 2...count).map { |n| [n] })
  ids.each_slice(100) { |slice| check(slice.uniq.size == slice.size, "names are unique") }
  await("all jobs") { noted("square").size == count }
  wanted = ids.each_with_index.map { |id, n| "square #{id} #{n * n}" }
  check(noted("square") == wanted.to_h { |line| [line, 1] }, "each job ran once")
  await("statistics") { Sidekiq::Stats.new.processed == count }
  check(Sidekiq::Stats.new.failed.zero? && Sidekiq::Queue.all.all? { |queue| queue.size.zero? }, "nothing is left")
  { "jobs" => count }
end

def queues
  ids = %w[critical low].flat_map { |name| (0...20).map { |n| Square.set(queue: name).perform_async(n) } }
  await("both queues") { ids.all? { |id| noted("square #{id}").values.sum == 1 } }
  other = Square.set(queue: "nobody").perform_async(1)
  queue = Sidekiq::Queue.new("nobody")
  check(queue.size == 1 && queue.first.jid == other && queue.find_job(other).args == [1], "it can be found")
  queue.find_job(other).delete
  check(queue.size.zero? && queue.clear, "it is gone")
  { "in queues" => ids.size }
end

def scheduled
  begun = Time.now.to_f
  ids = (0...10).map { |n| Square.perform_in(1, n) }
  far = Square.perform_in(3600, 1)
  set = Sidekiq::ScheduledSet.new
  check(set.size == 11 && set.find_job(far).args == [1], "they wait")
  await("those whose time has come") { ids.all? { |id| noted("square #{id}").values.sum == 1 } }
  check(Time.now.to_f - begun >= 1, "not before their time")
  check(set.map(&:jid) == [far] && set.scan(far).count == 1, "the other waits")
  set.find_job(far).delete
  check(set.size.zero?, "it is gone")
  { "scheduled" => ids.size }
end

def retries
  third = (0...5).map { Wrong.perform_async(3) }
  never = (0...3).map { Wrong.perform_async(100) }
  dead = Sidekiq::DeadSet.new
  await("retries") do
    # They would begin by themselves up to twenty seconds later.
    Sidekiq::RetrySet.new.each(&:add_to_queue)
    (third + never).all? { |id| noted("wrong #{id}").values.sum == 3 } && dead.size == 3
  end
  await("no more of them") { Sidekiq::RetrySet.new.size.zero? && Sidekiq::Stats.new.workers_size.zero? }
  check(dead.map(&:jid).sort == never.sort && dead.all? { |job| job["error_message"] == "wrong" }, "these are dead")
  await("failures to be counted") { Sidekiq::Stats.new.failed == 5 * 2 + 3 * 3 }
  dead.first.kill
  dead.clear
  check(dead.size.zero?, "none is dead")
  { "retried" => third.size + never.size }
end

# A worker that is told to stop puts back what it cannot finish in time; the next one runs it.
def stopped(pid)
  id = Slow.perform_async(60)
  await("it to begin") { noted("slow #{id}").any? }
  await("it to be seen") { Sidekiq::Workers.new.any? { |_process, _thread, work| work["payload"]["jid"] == id } }
  process = Sidekiq::ProcessSet.new.first
  check(Sidekiq::ProcessSet.new.size == 1 && process["concurrency"] == 5, "one worker")
  process.quiet!
  await("quiet") { Sidekiq::ProcessSet.new.first&.stopping? }
  Process.kill("TERM", pid)
  Process.wait(pid)
  check($?.exitstatus.zero?, "it left in order: #{$?}")
  queue = Sidekiq::Queue.new("default")
  check(queue.size == 1 && queue.first.jid == id, "its job is back")
  queue.clear
  check(Sidekiq::ProcessSet.new.size.zero?, "no worker")
  { "put back" => 1 }
end

begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
pid = worker
status = 1
begin
  numbers = {}
  await("the worker") { Sidekiq::ProcessSet.new.size == 1 }
  [method(:many), method(:queues), method(:scheduled), method(:retries)].each { |part| numbers.merge!(part.call) }
  numbers.merge!(stopped(pid))
  pid = nil
  text = numbers.map { |what, count| "#{count} #{what}" }.join(", ")
  puts "ok sidekiq: #{text}, #{(Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun).round(1)} s"
  status = 0
rescue Exception => error # rubocop:disable Lint/RescueException
  warn error.full_message, File.read(LOG)[-3000..] || File.read(LOG)
ensure
  if pid
    Process.kill("KILL", pid)
    Process.wait(pid)
  end
  FileUtils.rm_rf(FOLDER)
end
$stdout.flush
exit!(status)
