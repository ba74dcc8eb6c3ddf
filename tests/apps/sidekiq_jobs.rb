# The jobs of sidekiq_app.rb, loaded by its workers and by itself. What they did they also note in a file.
require "sidekiq"
require "sidekiq/api"

# What its redis library would otherwise say about each push and each wait.
Redis.sadd_returns_boolean = false
Redis.silence_deprecations = true

redis = { url: ENV.fetch("SWELL_APPS_URL"), network_timeout: 10 }
Sidekiq.configure_server do |config|
  config.redis = redis
  config.average_scheduled_poll_interval = 1
  config.options[:poll_interval_average] = 1
end
Sidekiq.configure_client { |config| config.redis = redis }

module Notes
  def note(line)
    File.open(ENV.fetch("SWELL_APPS_NOTES"), "a") { |file| file.syswrite("#{line}\n") }
  end
end

class Square
  include Sidekiq::Job
  include Notes

  def perform(number)
    note "square #{jid} #{number * number}"
  end
end

class Wrong
  include Sidekiq::Job
  include Notes
  sidekiq_options retry: 2
  sidekiq_retry_in { |_count| 1 }

  def perform(runs)
    note "wrong #{jid}"
    raise "wrong" if File.foreach(ENV.fetch("SWELL_APPS_NOTES")).count { |line| line == "wrong #{jid}\n" } < runs
  end
end

class Slow
  include Sidekiq::Job
  include Notes

  def perform(seconds)
    note "slow #{jid}"
    sleep seconds
    note "slept #{jid}"
  end
end
