# SPDX-License-Identifier: Apache-2.0
# frozen_string_literal: true

# What the sidekiq program loads (-r): a handler that counts, and sleeps when it is told to. Handlers run under the interpreter's lock, but a
# thread may be put aside anywhere, so what they share has a mutex.
require 'sidekiq'
require_relative 'lines'

Sidekiq.logger = Sidekiq::Logger.new($stderr, level: Logger::WARN) # it writes two lines a job otherwise
Sidekiq.configure_server { |c| c.redis = { url: "unix://#{ENV.fetch('PEER_SOCKET')}" } }

class Tally
  attr_reader :count, :at

  def initialize
    @lock = Mutex.new
    expect({ 'n' => '1' })
  end

  def expect(words)
    n = words['n'].to_i
    @lock.synchronize do
      @counts = "\0".b * n
      @starts = words['record'] == '1' ? Array.new(n, 0) : nil
      @count = @at = 0
    end
    nil
  end

  def note(number)
    @lock.synchronize do
      @at = Lines.mono_us
      seen = @counts.getbyte(number)
      @starts[number] = @at if @starts && seen.zero?
      @counts.setbyte(number, seen + 1)
      @count += 1
    end
  end

  def dump(words)
    File.binwrite(words['path'], @counts)
    File.binwrite("#{words['path']}.starts", @starts.pack('q*')) if @starts
    nil
  end
end

TALLY = Tally.new
SLEEP_S = ENV.fetch('PEER_SLEEP_MS', '0').to_f / 1000

class Noop
  include Sidekiq::Worker
  sidekiq_options queue: 'bench'

  def perform(data)
    TALLY.note(data['i'].hex)
    sleep(SLEEP_S) if SLEEP_S.positive?
  end
end

Sidekiq.configure_server do |c|
  c.on(:startup) do
    Thread.new do
      Lines.serve({ 'expect' => TALLY.method(:expect), 'dump' => TALLY.method(:dump),
                    'count' => ->(_) { { count: TALLY.count, at_us: TALLY.at } } },
                  { version: Sidekiq::VERSION, runtime: "ruby-#{RUBY_VERSION}" })
      Process.kill('TERM', Process.pid)
    end
  end
end
