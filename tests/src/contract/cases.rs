//! The table of cases.

use super::{
    CaseFn, acks, anonymous, assigned, bounded, channels, fates, following, full, idempotency,
    inbox, known_dead, leases, lending, model, presence, read_state, receipts, resume, rolls,
    scheduled, subscriptions, tokens,
};

macro_rules! cases {
    ($($module:ident { $($case:ident,)* })*) => {
        &[$($((
            concat!(stringify!($module), "::", stringify!($case)),
            |stores| Box::pin($module::$case(stores)),
        ),)*)*]
    };
}

/// Every case by name.
pub const CASES: &[(&str, CaseFn)] = cases! {
    inbox {
        a_first_frame_seeds_its_chain_with_the_time,
        frames_continue_each_other_in_order,
        a_frame_is_kept_as_it_was_given,
        a_frame_expires_after_its_ttl_or_the_inboxs,
        expired_frames_stay_in_the_chain,
        bodies_of_64_kib_pass_whole,
        user_ids_are_any_text,
        users_share_nothing,
        every_gateway_that_holds_the_user_is_told_once,
        a_gateway_hears_no_more_of_who_left,
        the_sender_learns_how_many_devices_are_connected,
        a_user_that_left_has_been_seen,
        without_ttl_it_reaches_who_is_there_and_is_not_kept,
        without_ttl_and_without_a_connection_it_is_gone,
        both_processes_see_one_deployment,
    }
    lending {
        a_burst_is_lent_and_then_the_rate,
        accounts_share_nothing,
        who_borrows_is_counted_for_a_while,
    }
    idempotency {
        a_repeated_order_is_accepted_once,
        a_key_with_another_body_is_refused,
        keys_are_each_users_own,
        keys_are_any_text,
        a_key_lapses,
        repeating_keeps_a_key_alive,
        a_repetition_needs_no_room,
        a_refused_order_is_not_remembered,
        orders_given_at_once_are_accepted_once,
        a_repeated_publication_is_accepted_once,
        keys_are_each_channels_own,
    }
    fates {
        receipts_tell_the_truth,
    }
    receipts {
        an_inbox_is_seen_from_either_end,
        looking_moves_nobody,
        devices_are_where_their_acks_are,
        a_position_of_no_notification_is_told_apart,
        what_is_acked_was_delivered,
        a_device_that_came_later_is_not_addressed,
        connections_without_a_name_are_one_device,
        what_expired_first_is_never_delivered,
        who_is_passed_over_has_it_dropped,
        what_is_taken_back_is_given_to_nobody_more,
        what_has_expired_cannot_be_taken_back,
        the_next_of_a_key_replaces_the_one_before,
        a_repeated_order_replaces_nothing,
        what_is_replaced_makes_room,
        what_is_refused_replaces_nothing,
        what_is_refused_replaces_nothing_though_others_leave,
        a_forgotten_user_begins_anew,
        marks_are_bounded_and_say_so,
    }
    resume {
        pages_are_bounded_and_continue_each_other,
        pages_are_bounded_in_bytes_too,
        a_page_that_ends_with_the_inbox_has_no_more,
        without_history_the_page_is_empty,
        a_client_goes_on_after_its_own_position,
        a_clients_position_outweighs_its_acks,
        without_a_position_the_acks_count,
        zero_asks_for_all_that_is_kept,
        what_the_device_acked_is_not_missing,
        what_only_another_device_acked_is_missing,
        a_position_ahead_of_the_inbox_is_rewound,
        a_position_in_another_history_is_rewound,
        a_rewound_device_that_never_acked_gets_all,
        a_new_device_gets_what_none_has_acked,
        a_new_device_may_bring_its_position,
        a_device_forgotten_for_long_is_told_what_it_missed,
        what_is_sent_while_registering_is_in_the_page_or_told,
    }
    acks {
        acks_never_go_back,
        acks_beyond_the_inbox_are_ignored,
        acks_of_another_history_are_ignored,
        acks_of_unknown_devices_are_ignored,
        the_newest_acked_stay_readable,
        the_last_acked_stays_as_the_anchor,
        a_device_that_never_acks_holds_its_frames,
        the_slowest_device_decides,
        of_seventeen_devices_the_one_seen_first_holds_nothing,
        a_device_not_seen_for_long_holds_nothing,
        a_connected_device_holds_however_long_it_is_silent,
        broadcast_positions_only_go_forward,
        broadcasts_are_acked_without_an_inbox,
        expired_positions_may_be_named_with_an_ack,
    }
    full {
        nobody_ever_came_so_it_is_refused,
        nobody_ever_acked_so_it_is_refused,
        a_connected_device_is_never_passed_over,
        nobody_is_passed_over_for_nothing,
        an_absent_device_is_passed_over_and_told_until_it_acks,
        a_client_passed_over_is_told_though_it_brings_its_position,
        a_client_ahead_of_the_passed_over_place_misses_nothing,
        the_one_behind_is_passed_over_and_the_others_are_not,
        a_passed_over_device_that_acks_is_whole_again,
        expired_ones_make_room_first,
        expired_ones_at_the_head_are_no_gap,
        expired_ones_in_the_middle_leave_the_chain_whole,
        many_that_expire_behind_one_that_stays_are_bounded,
    }
    anonymous {
        each_has_a_position_of_its_own,
        a_new_one_starts_where_the_slowest_stands,
        what_an_ended_one_left_goes_to_the_next,
        ended_ones_are_folded_by_the_slowest,
        what_was_left_is_taken_over_once,
        an_ended_one_holds_its_frames,
        the_first_starts_as_any_new_device,
        a_session_that_reconnects_keeps_its_position,
        broadcast_positions_are_folded_too,
        reading_on_follows_the_same_rules,
    }
    presence {
        presence_names_each_connection,
        the_canary_is_reached_and_counts_as_nobody,
        a_duty_is_one_processs_for_a_while,
        users_are_online_until_their_last_connection_ends,
        fences_rise_with_every_connection_of_a_user,
        a_newer_connection_of_a_session_takes_over,
        a_gateway_is_told_of_its_own_replacement,
        other_sessions_devices_and_users_are_not_replaced,
        a_late_end_of_a_replaced_connection_changes_nothing,
        only_ones_own_fence_ends_a_connection,
        a_connection_registers_again,
        a_replaced_connection_cannot_register_again,
        who_registers_again_over_an_older_one_replaces_it,
        an_older_connection_that_comes_late_is_refused,
        opened_within_a_moment_the_later_to_register_wins,
    }
    leases {
        gateways_live_while_their_lease_holds,
        generations_rise,
        a_dead_gateway_is_reaped_by_another,
        nobody_is_online_where_no_lease_holds,
        reaping_folds_anonymous_connections,
        reaping_frees_subscriptions_where_they_stood,
        who_was_reaped_and_lives_registers_again,
        joining_reaps_ones_own_past,
        only_the_dead_generation_is_reaped,
        leaving_forgets_ones_own_connections_at_once,
        a_lost_lease_is_replaced_and_said,
        a_word_reaches_its_gateway_once,
        however_many_words_are_left_all_are_heard,
        registrations_that_nobody_holds_are_released,
        audits_tell_where_a_connection_stands,
        audits_answer_each_question_in_turn,
        what_is_sent_to_a_dead_gateways_user_is_kept,
    }
    known_dead {
        a_gateway_seen_dead_is_reaped_at_once,
        a_generation_newer_than_the_death_stands,
        who_was_taken_for_dead_and_lives_registers_again,
        the_users_of_each_gateway_are_counted,
        a_gateway_that_drains_is_shown_as_that,
        what_a_gateway_tells_of_itself_is_shown,
    }
    channels {
        publications_continue_each_other_in_order,
        a_publication_is_kept_as_it_was_given,
        a_log_is_read_in_pages,
        a_log_is_bounded,
        logs_tell_their_ends,
        a_position_that_the_log_does_not_know_is_rewound,
        without_a_log_only_a_position_is_lost,
        a_log_lasts_for_its_retention_after_the_newest,
        who_came_before_the_first_entry_is_told_of_an_overflow,
        who_came_before_the_first_entry_is_told_when_all_lapsed,
        a_publication_expires_after_its_ttl_or_the_logs,
        a_log_is_read_without_a_gateway,
    }
    following {
        following_begins_where_the_log_ends,
        nothing_falls_between_the_log_and_the_hints,
        who_stops_following_hears_no_more,
        each_channel_has_a_log_and_followers_of_its_own,
        every_gateway_hears_broadcasts,
        publications_reach_no_inbox,
        followed_channels_are_listed,
    }
    rolls {
        every_gateway_is_asked_and_its_answer_is_told,
        who_does_not_answer_is_not_waited_for,
        without_gateways_nobody_is_there,
    }
    assigned {
        every_device_is_on_it_from_then_on,
        asking_again_changes_nothing,
        each_device_goes_on_where_it_was,
        whoever_is_taken_off_is_off_whoever_put_it_there,
        the_gateways_that_hold_the_user_are_told,
        they_are_bounded,
        who_is_forgotten_is_on_none,
    }
    subscriptions {
        those_asked_for_last_come_first,
        durable_ones_come_with_the_devices_next_connection,
        durable_ones_last_until_they_are_dropped,
        anonymous_connections_share_the_durable_ones,
        what_an_ended_session_left_is_claimed_once,
        what_is_held_cannot_be_claimed,
        a_clean_end_leaves_nothing,
        what_was_left_waits_only_for_a_while,
        a_session_that_comes_back_claims_its_own,
        a_connection_that_takes_over_claims_what_the_older_one_held,
        two_that_left_the_same_are_claimed_as_one,
        a_late_end_frees_nothing,
        who_was_reaped_and_goes_on_holds_its_own_again,
    }
    bounded {
        the_device_not_seen_for_the_longest_is_forgotten,
        a_connected_device_is_never_forgotten,
        what_anonymous_ones_left_is_forgotten_last,
        a_forgotten_device_is_told_what_is_missing,
        durable_ones_go_with_their_device,
        connections_are_bounded_over_all_gateways,
        a_dead_gateways_connections_make_room_once_it_is_reaped,
        however_many_end_at_once_all_do,
        kept_subscriptions_are_bounded,
        what_was_not_kept_is_not_left_either,
        what_waits_for_nobody_makes_room,
        a_large_inbox_makes_room_of_what_has_expired,
    }
    tokens {
        what_is_revoked_in_one_process_is_known_in_the_other,
        to_revoke_again_adds_up,
        a_revocation_that_is_taken_back_is_gone_everywhere,
        a_revocation_lapses,
        revocations_are_bounded,
        revocations_are_listed_in_pages_with_what_is_told_of_them,
        a_ticket_is_redeemed_once,
        of_two_who_show_a_ticket_at_once_one_gets_it,
        a_ticket_lapses,
        the_tickets_of_a_user_are_bounded,
    }
    read_state {
        one_all_up_to_a_position_and_all_are_marked,
        what_is_not_kept_cannot_be_marked,
        what_is_read_is_delivered_all_the_same,
        what_expired_or_was_taken_back_does_not_count,
        who_is_forgotten_has_read_nothing,
        a_long_inbox_is_counted_whole,
    }
    scheduled {
        it_waits_and_comes_when_it_is_due,
        a_repeated_order_waits_once,
        each_is_delivered_once_however_many_deliver,
        it_is_cancelled_or_delivered_never_both,
        what_waits_is_listed_by_when_it_is_due,
        pages_of_what_waits_are_bounded_in_bytes,
        what_is_cancelled_comes_to_nobody,
        what_waits_is_bounded_for_each_user,
        what_is_due_too_early_or_too_late_is_refused,
        a_full_inbox_puts_it_off,
        whose_time_passes_before_it_can_come_has_expired,
        a_collapse_key_counts_when_it_comes,
        nothing_waits_for_who_is_forgotten,
        who_takes_a_user_up_has_it_alone_for_a_moment,
    }
    model {
        random_work_agrees_with_the_reference,
        senders_at_once_make_one_chain,
        a_reader_that_comes_and_goes_sees_each_one_once,
    }
};
