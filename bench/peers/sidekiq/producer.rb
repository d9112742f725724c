# SPDX-License-Identifier: Apache-2.0
# frozen_string_literal: true

# Pushes numbered jobs to Sidekiq: push_bulk for many, perform_async for one.
require 'sidekiq'
require_relative 'lines'

Sidekiq.configure_client { |c| c.redis = { url: "unix://#{ENV.fetch('PEER_SOCKET')}", size: 2 } }

class Noop
  include Sidekiq::Worker
  sidekiq_options queue: 'bench'
end

FILLER = 'x' * 169 # the whole is 200 bytes of JSON

def data(number)
  { 'i' => format('%016x', number), 'x' => FILLER }
end

enqueue = lambda do |w|
  n, first, batch = w.values_at('n', 'first', 'batch').map(&:to_i)
  begun = Lines.mono_us
  (0...n).step(batch) do |at|
    args = (at...[n, at + batch].min).map { |i| [data(first + i)] }
    Sidekiq::Client.push_bulk('class' => Noop, 'args' => args)
  end
  { us: Lines.mono_us - begun }
end

pulse = lambda do |w|
  times = (0...w['n'].to_i).map do |i|
    sleep(w['gap_us'].to_i / 1e6)
    now = Lines.mono_us
    Noop.perform_async(data(i))
    now
  end
  File.binwrite(w['path'], times.pack('q*'))
end

Sidekiq.redis(&:ping)
Lines.serve({ 'enqueue' => enqueue, 'pulse' => pulse })
